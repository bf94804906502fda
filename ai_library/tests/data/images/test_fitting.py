"""Pixels of any size are fitted into the image that a model takes, whatever they are written on."""

import numpy as np
import pytest

from ai_library.data.images.fitting import fit_image


def framed(pixels):
    return fit_image(pixels, (28, 28, 1), content_size=20)[..., 0]


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (230, 40), (20, 150)])
def test_content_of_either_polarity_is_cut_out_scaled_and_centred(paper, ink):
    pixels = np.full((150, 200), paper, np.uint8)
    pixels[90:140, 10:30] = ink
    found = framed(pixels)
    rows, columns = (np.flatnonzero((found > 127).any(axis)) for axis in (1, 0))
    assert (len(rows), len(columns)) == (20, 8)
    assert abs((rows[0] + rows[-1]) / 2 - 13.5) <= 0.5
    assert abs((columns[0] + columns[-1]) / 2 - 13.5) <= 0.5
    assert found[0, 0] == 0
    assert found.max() >= 250


def test_content_of_the_right_size_in_the_middle_is_left_as_it_is():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 9:19] = np.random.default_rng(0).integers(1, 256, (20, 10))
    np.testing.assert_array_equal(framed(pixels), pixels)
    np.testing.assert_array_equal(framed(255 - pixels), pixels)


@pytest.mark.parametrize("corner", [(0, 0), (3, 2), (18, 20)])
def test_small_content_in_a_corner_of_an_image_of_the_right_size_is_treated_like_any_other(corner):
    top, left = corner
    small, large = np.zeros((28, 28), np.uint8), np.zeros((280, 280), np.uint8)
    small[top : top + 8, left : left + 4] = 200
    large[100:180, 100:140] = 200
    np.testing.assert_allclose(framed(small), framed(large), atol=1)
    assert np.flatnonzero(framed(small).any(1)).tolist() == list(range(4, 24))


def test_pages_with_nothing_or_specks_on_them_are_black():
    page = np.full((1500, 1500), 255, np.uint8)
    assert framed(page).max() == 0
    page[0, 0] = page[-1, -1] = 0
    assert framed(page).max() < 30


def test_other_proportions_are_padded_not_stretched():
    wide = np.full((20, 60), 200, np.uint8)
    wide[5:15, 25:35] = 0  # a square
    fitted = fit_image(wide, (60, 60, 1))[..., 0]
    assert (fitted[:20] == 200).all()
    assert (fitted[-20:] == 200).all()
    assert (fitted[25:35, 25:35] == 0).all()


def test_content_that_is_cut_out_is_opaque():
    pixels = np.zeros((150, 200, 4), np.uint8)  # transparent, with a dark bar
    pixels[90:140, 10:30] = 10, 10, 10, 255
    wanted = fit_image(np.where(pixels[..., 3] > 0, 10, 255).astype(np.uint8), (28, 28, 1), content_size=20)
    for channels in (2, 4):
        found = fit_image(pixels, (28, 28, channels), content_size=20)
        np.testing.assert_array_equal(found[..., :1], wanted)
        assert (found[..., -1] == 255).all()
