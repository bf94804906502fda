"""Images in whatever form people have them become the array that a model takes, or a clear error."""

import numpy as np
import pytest
from PIL import Image

from ai_library import InputError
from ai_library.data.images.fitting import fit_image
from ai_library.data.images.image_arrays import as_images
from ai_library.data.images.reading import read_image

RNG = np.random.default_rng(0)
SHAPES = [(6, 9, 1), (6, 9, 2), (6, 9, 3), (6, 9, 4)]


@pytest.fixture
def path(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (20, 50, 4), np.uint8)).save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.mark.parametrize("image_shape", SHAPES)
def test_an_array_of_the_right_shape_is_itself(image_shape):
    images = RNG.integers(0, 256, (5, *image_shape), np.uint8)
    assert as_images(images, image_shape) is images
    assert as_images(images[:0], image_shape).shape == (0, *image_shape)


def test_grey_images_need_no_axis_for_their_channel_and_are_not_copied():
    images = RNG.integers(0, 256, (5, 6, 9), np.uint8)
    found = as_images(images, (6, 9, 1))
    np.testing.assert_array_equal(found, images[..., None])
    assert np.shares_memory(found, images)


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("content_size", [None, 4])
def test_a_list_may_mix_paths_pillow_images_and_arrays_of_any_size(path, image_shape, content_size):
    arrays = [RNG.integers(0, 256, shape, np.uint8) for shape in ((6, 9), (30, 7, 1), (5, 5, 2), (9, 6, 3), (6, 9, 4))]
    with Image.open(path) as image:
        found = as_images([path, *arrays, str(path), image], image_shape, content_size)
        alone = as_images(image, image_shape, content_size)
    wanted = read_image(path, image_shape, content_size)
    for place in (0, 6, 7):
        np.testing.assert_array_equal(found[place], wanted)
    for place, array in enumerate(arrays, start=1):
        np.testing.assert_array_equal(found[place], fit_image(array, image_shape, content_size))
    for one in (alone, as_images(path, image_shape, content_size), as_images(str(path), image_shape, content_size)):
        np.testing.assert_array_equal(one, wanted[None])


def test_an_array_in_a_list_that_has_the_right_shape_stays_as_it_is():
    images = RNG.integers(0, 256, (5, 6, 9, 4), np.uint8)
    np.testing.assert_array_equal(as_images(list(images), (6, 9, 4)), images)
    np.testing.assert_array_equal(as_images(tuple(images[..., 0]), (6, 9, 1)), images[..., :1])


def test_an_empty_list_is_no_image():
    assert as_images([], (6, 9, 3)).shape == (0, 6, 9, 3)


def test_a_pillow_image_is_left_as_it_was(path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 4), "white").save(path, exif=exif)
    with Image.open(path) as image:
        as_images([image], (6, 9, 1))
        assert image.size == (8, 4)
        assert image.getexif()[274] == 6


IMAGE = np.zeros((6, 9, 1), np.uint8)


@pytest.mark.parametrize(
    ("images", "image_shape", "message"),
    [
        (
            IMAGE,
            (6, 9, 1),
            r"an array uint8 \(n, 6, 9, 1\), got uint8 \(6, 9, 1\): .* alone is \[image\]",
        ),
        (IMAGE[..., 0], (6, 9, 1), r"got uint8 \(6, 9\)"),
        (np.zeros((5, 6, 9), np.uint8), (6, 9, 3), r"got uint8 \(5, 6, 9\)"),
        (np.zeros((2, 7, 9, 1), np.uint8), (6, 9, 1), "to have images of other sizes fitted, give a list of them"),
        (IMAGE[None] / 255, (6, 9, 1), r"got float64 \(1, 6, 9, 1\): scale them to whole numbers from 0 to 255"),
        (np.array(["a.png"]), (6, 9, 1), "got <U5"),
        (iter([IMAGE]), (6, 9, 1), "or a list of paths, Pillow images or arrays, got list_iterator"),
        (None, (6, 9, 1), "got NoneType"),
        ([IMAGE, IMAGE / 255], (6, 9, 1), r"image 1 of the list must be uint8 \(h, w\) or .*, got float64 \(6, 9, 1\)"),
        ([IMAGE[None]], (6, 9, 1), r"image 0 of the list must be uint8 \(h, w\)"),
        ([np.zeros((6, 9, 5), np.uint8)], (6, 9, 1), "with 1 to 4 channels"),
        ([IMAGE[:0]], (6, 9, 1), r"got uint8 \(0, 9, 1\)"),
        ([IMAGE, 3], (6, 9, 1), "image 1 of the list must be a path, a Pillow image or an array, got int"),
        (["nowhere.png"], (6, 9, 1), "nowhere.png cannot be read: No such file"),
        ("nowhere.png", (6, 9, 1), "nowhere.png cannot be read: No such file"),
    ],
)
def test_what_is_no_image_is_named(images, image_shape, message):
    with pytest.raises(InputError, match=message):
        as_images(images, image_shape)


def test_a_pillow_image_whose_file_ends_too_early_is_named(path):
    path.write_bytes(path.read_bytes()[:600])
    with Image.open(path) as image, pytest.raises(InputError, match="image 0 of the list cannot be read: "):
        as_images([image], (6, 9, 1))
