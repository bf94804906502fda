"""Copies of images are found whatever became of them, and different images are not taken for copies."""

import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ai_library import ShapeDataSource
from ai_library.data.images.copies import joined, near_copies, same_pixels
from ai_library.data.images.fitting import fit_image
from ai_library.tests.pillow_shapes import draw_pillow_shape

SIDE = 64


def jpeg(image, quality):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def scaled(image, factor):
    return image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.BICUBIC)


CHANGES = {
    "compressed": lambda image: jpeg(image, 60),
    "smaller": lambda image: scaled(image, 0.6),
    "larger and compressed": lambda image: jpeg(scaled(image, 1.7), 85),
    "turned": lambda image: image.rotate(90, expand=True),
    "upside down": lambda image: jpeg(image.rotate(180), 90),
    "of 64 colours": lambda image: image.quantize(64),
}


def fitted(image):
    return fit_image(np.asarray(image.convert("RGB")), (SIDE, SIDE, 3))


def photos(n, rng):
    """Pictures as smooth and as rough as photographs: noise of many scales."""
    for _ in range(n):
        scales = [rng.normal(0, 60 / side**0.7, (side, side, 3)) for side in (3, 6, 12, 24, 48, 96)]
        layers = [np.asarray(Image.fromarray(np.uint8(each.clip(-120, 120) + 128)).resize((96, 72))) for each in scales]
        yield Image.fromarray(np.uint8((sum(map(np.float64, layers)) - 5 * 128).clip(0, 255)))


def drawings(n, rng):
    return (draw_pillow_shape(("cross", "star", "triangle")[index % 3], rng).convert("RGB") for index in range(n))


def noise(n, rng):
    return (Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)) for _ in range(n))


@functools.cache
def drawn(kind):
    """20 images of a kind, and how they are compared."""
    images = list(kind(20, np.random.default_rng(0)))
    return images, [fitted(image) for image in images]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [photos, drawings, noise])
def test_near_copies_are_found_and_nothing_else(kind, change):
    originals, compared = drawn(kind)
    images = np.stack([*compared, *(fitted(CHANGES[change](image)) for image in originals)])
    found = {*near_copies(images), *same_pixels(images)}
    expected = {(index, index + 20) for index in range(20)}
    assert len(expected & found) >= 19
    assert found <= expected


@pytest.mark.slow
def test_different_shapes_are_not_taken_for_copies():
    source = ShapeDataSource(seed=1)
    images, _ = source.examples("train", range(2000))
    in_any = {index for pair in near_copies(images) for index in pair}
    assert len(in_any) <= 4


def test_an_image_in_another_colour_is_no_copy():
    red, blue = (np.zeros((2, 32, 32, 3), np.uint8) + np.array(colour, np.uint8) for colour in ((90, 0, 0), (0, 0, 90)))
    images = np.concatenate([red[:1], blue[:1]])
    images[:, 8:20, 4:16] = 255
    assert not list(near_copies(images))


def test_images_that_show_nothing_or_are_tiny_are_compared_by_their_pixels_alone():
    blank = np.full((3, 32, 32, 1), 200, np.uint8)
    blank[2, 0, 0] = 210
    assert list(same_pixels(blank)) == [(0, 1)]
    assert not list(near_copies(blank))
    assert not list(near_copies(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8).repeat(2, axis=0)))


def test_pictures_that_are_not_square_are_compared_as_they_lie():
    wide = np.stack([np.asarray(ImageOps.fit(image, (64, 32))) for image in photos(20, np.random.default_rng(0))])
    brighter = np.uint8(wide.clip(0, 252) + 3)
    assert {*near_copies(np.concatenate([wide, brighter]))} == {(index, index + 20) for index in range(20)}


def test_things_are_joined_over_others():
    assert joined(6, [(1, 3), (4, 5), (3, 5)]) == [0, 1, 2, 1, 1, 1]


def test_frames_of_one_film_are_joined_without_all_their_pairs():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 200, (SIDE, SIDE, 1))
    frames = (scene + rng.integers(0, 4, (600, SIDE, SIDE, 1))).astype(np.uint8)
    assert list(near_copies(frames)) == [(0, index) for index in range(1, 600)]
