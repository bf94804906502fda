"""Images unlike the rest are found by what is odd in them, and those like the rest are not."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ai_library import ShapeDataSource
from ai_library.data.images.odd_images import odd_images

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SIZES = [(64, 64)] * 200


@pytest.fixture(scope="module")
def shapes():
    return ShapeDataSource(seed=1).examples("train", range(200))[0]


def reasons(images, sizes=SIZES):
    return {(each.image, each.reason) for each in odd_images(images, sizes)}


@pytest.mark.slow
def test_a_drawn_data_set_with_noise_and_blur_of_its_own_has_none(shapes):
    assert reasons(shapes) == set()


@pytest.mark.slow
def test_images_without_content_are_told_apart(shapes):
    images = shapes.copy()
    images[3], images[4], images[5] = 8, 250, 120
    images[3, 0, :3] = 255  # a hot pixel or three show nothing
    assert reasons(images) == {(3, "almost black"), (4, "almost white"), (5, "shows nothing")}


def test_a_blurred_image_is_found_among_sharp_ones():
    images = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), np.uint8)
    images[7] = np.asarray(Image.fromarray(images[7]).filter(ImageFilter.GaussianBlur(3)))
    (found,) = odd_images(images, SIZES)
    assert found[:2] == (7, "blurred")
    assert "variance of the Laplacian" in found.detail


@pytest.mark.slow
def test_sizes_and_proportions_far_from_the_rest_are_found(shapes):
    sizes = [(640 + index % 40, 480) for index in range(200)]
    sizes[10], sizes[11] = (64, 48), (1400, 220)
    assert reasons(shapes, sizes) == {(10, "odd size"), (11, "odd proportions")}


def test_a_data_set_of_many_sizes_has_no_odd_one(shapes):
    rng = np.random.default_rng(0)
    assert reasons(shapes, [(int(w), int(w * 0.75)) for w in rng.integers(100, 1000, 200)]) == set()


def test_few_and_tiny_images_are_no_error(shapes):
    assert odd_images(shapes[:0], []) == []
    assert odd_images(shapes[:1, :2, :2], [(2, 2)]) in ([], odd_images(shapes[:1, :2, :2], [(2, 2)]))
