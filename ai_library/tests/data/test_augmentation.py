"""Augmentation moves images as far as it says, and leaves them alone where it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from ai_library import Augmentation, InputError

KEYS = jax.random.split(jax.random.key(0), 64)


@pytest.fixture
def images():
    """A soft blob off the centre of black images (64, 28, 28, 1)."""
    y, x = np.mgrid[:28, :28]
    return jnp.asarray(
        np.tile(np.exp(-((x - 16) ** 2 + (y - 12) ** 2) / 8)[None, :, :, None], (64, 1, 1, 1)), jnp.float32
    )


def centers(images):
    """Centres of mass (b, 2): y, x."""
    return np.array([scipy.ndimage.center_of_mass(image) for image in np.asarray(images)[..., 0]])


def test_nothing_changes_where_all_is_off(images):
    assert (Augmentation()(KEYS, images) == images).all()


@pytest.mark.slow
def test_the_identity_is_among_the_changes(images):
    np.testing.assert_allclose(Augmentation(shift=1e-6)(KEYS, images), images, atol=1e-5)


def test_shift_moves_by_up_to_its_pixels_each_way(images):
    moved = centers(Augmentation(shift=3)(KEYS, images)) - centers(images)
    assert np.abs(moved).max() <= 3.01
    assert moved.min() < -2.5
    assert moved.max() > 2.5


def test_a_whole_pixel_shift_equals_scipys(images):
    augmentation = Augmentation(shift=2)
    moved = np.asarray(augmentation(KEYS, images))
    offsets = centers(moved) - centers(images)
    for image, offset in zip(moved[:8, ..., 0], offsets, strict=False):
        wanted = scipy.ndimage.shift(np.asarray(images[0, ..., 0]), offset, order=1)
        np.testing.assert_allclose(image, wanted, atol=0.03)


def test_rotation_keeps_the_distance_to_the_middle(images):
    before, after = centers(images) - 13.5, centers(Augmentation(rotation=30)(KEYS, images)) - 13.5
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), atol=0.1)
    angles = np.degrees(np.arctan2(*after.T) - np.arctan2(*before.T))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -25
    assert angles.max() > 25


def test_shear_slants_the_vertical_lines(images):
    """What lies above the middle moves along x by the tangent of the angle times its height, and nothing along y."""
    offset = centers(Augmentation(shear=20)(KEYS, images)) - centers(images)
    np.testing.assert_allclose(offset[:, 0], 0, atol=0.05)
    reach = np.tan(np.radians(20)) * abs(centers(images)[0, 0] - 13.5)
    assert 0.8 * reach < np.abs(offset[:, 1]).max() < 1.05 * reach


def test_scale_changes_the_distance_to_the_middle_by_its_share(images):
    ratio = (centers(Augmentation(scale=0.2)(KEYS, images)) - 13.5) / (centers(images) - 13.5)
    assert ratio.min() > 0.79
    assert ratio.max() < 1.21
    assert ratio.max() - ratio.min() > 0.3


@pytest.mark.slow
def test_elastic_moves_by_no_more_than_its_pixels(images):
    moved = centers(Augmentation(elastic=1.5)(KEYS, images)) - centers(images)
    assert 0.3 < np.abs(moved).max() < 1.7


@pytest.mark.slow
def test_strength_multiplies_every_value(images):
    half = Augmentation(shift=4, rotation=60, scale=0.4, elastic=2)(KEYS, images, 0.5)
    np.testing.assert_allclose(half, Augmentation(shift=2, rotation=30, scale=0.2, elastic=1)(KEYS, images), atol=1e-5)


@pytest.mark.slow
def test_each_image_changes_in_its_own_way_that_its_key_decides(images):
    augmentation = Augmentation(shift=2, rotation=10, scale=0.1, shear=10, elastic=1)
    first, again, turned = (augmentation(keys, images) for keys in (KEYS, KEYS, KEYS[::-1]))
    assert (first == turned[::-1]).all()
    other = augmentation(jax.random.split(jax.random.key(1), 64), images)
    assert (first == again).all()
    assert (first != other).any(axis=(1, 2, 3)).all()
    assert len({image.tobytes() for image in np.asarray(first)}) == 64
    assert first.shape == images.shape


@pytest.mark.parametrize("change", [{"shift": -1}, {"scale": 1.0}, {"rotation": 200}, {"elastic": float("nan")}])
def test_values_out_of_range_are_refused(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} must be from 0 to .*, got"):
        Augmentation(**change)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 56, 1), (9, 5, 2), (20, 30, 3), (30, 20, 4)])
def test_images_of_any_height_and_width_and_channels_are_changed_alike_in_all_channels(shape):
    plane = np.random.default_rng(0).uniform(-1, 1, (4, *shape[:2], 1)).astype(np.float32)
    images = jnp.asarray(np.repeat(plane, shape[2], axis=3))
    assert Augmentation()(KEYS[:4], images) is images
    changed = np.asarray(Augmentation(shift=2, rotation=20, scale=0.2, shear=10, elastic=1)(KEYS[:4], images))
    assert changed.shape == (4, *shape)
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(changed, np.repeat(changed[..., :1], shape[2], axis=3))


@pytest.mark.slow
def test_a_wide_image_moves_by_pixels_and_turns_without_being_bent():
    y, x = np.mgrid[:20, :60]
    blob = np.exp(-((x - 38) ** 2 + (y - 8) ** 2) / 6)[None, :, :, None].astype(np.float32)
    wide = jnp.asarray(np.tile(blob, (64, 1, 1, 1)))
    moved = centers(Augmentation(shift=3)(KEYS, wide)) - centers(wide)
    assert (np.abs(moved).max(axis=0) > 2.5).all()
    assert np.abs(moved).max() <= 3.01
    middle = np.array([9.5, 29.5])
    before, after = centers(wide) - middle, centers(Augmentation(rotation=20)(KEYS, wide)) - middle
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), atol=0.1)
