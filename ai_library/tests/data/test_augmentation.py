"""Augmentation moves images as far as it says, and leaves them alone where it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from ai_library import Augmentation, InputError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

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


@pytest.mark.slow
def test_shift_moves_by_up_to_its_pixels_each_way(images):
    moved = centers(Augmentation(shift=3)(KEYS, images)) - centers(images)
    assert np.abs(moved).max() <= 3.01
    assert moved.min() < -2.5
    assert moved.max() > 2.5


@pytest.mark.slow
def test_a_whole_pixel_shift_equals_scipys(images):
    augmentation = Augmentation(shift=2)
    moved = np.asarray(augmentation(KEYS, images))
    offsets = centers(moved) - centers(images)
    for image, offset in zip(moved[:8, ..., 0], offsets, strict=False):
        wanted = scipy.ndimage.shift(np.asarray(images[0, ..., 0]), offset, order=1)
        np.testing.assert_allclose(image, wanted, atol=0.03)


@pytest.mark.slow
def test_rotation_keeps_the_distance_to_the_middle(images):
    before, after = centers(images) - 13.5, centers(Augmentation(rotation=30)(KEYS, images)) - 13.5
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), atol=0.1)
    angles = np.degrees(np.arctan2(*after.T) - np.arctan2(*before.T))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -25
    assert angles.max() > 25


@pytest.mark.slow
def test_shear_slants_the_vertical_lines(images):
    """What lies above the middle moves along x by the tangent of the angle times its height, and nothing along y."""
    offset = centers(Augmentation(shear=20)(KEYS, images)) - centers(images)
    np.testing.assert_allclose(offset[:, 0], 0, atol=0.05)
    reach = np.tan(np.radians(20)) * abs(centers(images)[0, 0] - 13.5)
    assert 0.8 * reach < np.abs(offset[:, 1]).max() < 1.05 * reach


@pytest.mark.slow
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
    new = {"flip": 0.5, "brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "erase": 0.5}
    augmentation = Augmentation(shift=2, rotation=10, scale=0.1, shear=10, elastic=1, **new)
    first, again, turned = (augmentation(keys, images) for keys in (KEYS, KEYS, KEYS[::-1]))
    assert (first == turned[::-1]).all()
    other = augmentation(jax.random.split(jax.random.key(1), 64), images)
    assert (first == again).all()
    assert (first != other).any(axis=(1, 2, 3)).all()
    assert len({image.tobytes() for image in np.asarray(first)}) == 64
    assert first.shape == images.shape


@pytest.fixture
def noise():
    """Images of noise (64, 12, 10, 3) in the inner half of their range."""
    return jnp.asarray(np.random.default_rng(0).uniform(-0.5, 0.5, (64, 12, 10, 3)), jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "strength", "least", "most"), [(1, 1, 64, 64), (0.5, 1, 20, 44), (1, 0.5, 20, 44)])
def test_flip_mirrors_its_share_of_images_exactly(noise, share, strength, least, most):
    changed = Augmentation(flip=share)(KEYS, noise, strength)
    mirrored = (changed == noise[:, :, ::-1]).all(axis=(1, 2, 3))
    assert least <= mirrored.sum() <= most
    assert (changed == noise).all(axis=(1, 2, 3))[~mirrored].all()


@pytest.mark.slow
def test_which_images_are_flipped_has_nothing_to_do_with_how_they_move(noise):
    """Draws of one key must not repeat each other: half of the images shift to the left, whichever are flipped."""
    ramp = jnp.broadcast_to(jnp.linspace(-1, 1, 9)[None, None, :, None], (64, 9, 9, 1))
    flipped = (Augmentation(flip=0.5)(KEYS, ramp)[:, 0, 0, 0] > 0).astype(float)
    moved = Augmentation(shift=2)(KEYS, ramp).mean(axis=(1, 2, 3))
    assert abs(np.corrcoef(flipped, moved)[0, 1]) < 0.3


@pytest.mark.slow
def test_brightness_multiplies_the_distance_from_black(noise):
    ratio = (Augmentation(brightness=0.2)(KEYS, noise) + 1) / (noise + 1)
    np.testing.assert_allclose(ratio.std(axis=(1, 2, 3)), 0, atol=1e-5)
    assert 0.8 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.2001


@pytest.mark.slow
def test_contrast_multiplies_the_distance_from_the_mean(noise):
    changed = Augmentation(contrast=0.3)(KEYS, noise)
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), noise.mean(axis=(1, 2, 3)), atol=1e-5)
    ratio = changed.std(axis=(1, 2, 3)) / noise.std(axis=(1, 2, 3))
    assert 0.7 <= ratio.min() < 0.78
    assert 1.22 < ratio.max() <= 1.3001


@pytest.mark.slow
def test_saturation_leaves_grey_as_it_is_and_changes_colours_alone(noise):
    grey = jnp.repeat(noise[..., :1], 3, axis=-1)
    np.testing.assert_allclose(Augmentation(saturation=1)(KEYS, grey), grey, atol=1e-6)
    changed = Augmentation(saturation=0.5)(KEYS, noise)
    luma = jnp.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed @ luma, noise @ luma, atol=1e-5)
    assert abs(changed - noise).max() > 0.1
    one = noise[..., :1]
    assert (Augmentation(saturation=0.5)(KEYS, one) == one).all()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_not_recoloured_and_values_stay_in_their_range(channels):
    images = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (64, 6, 6, channels)), jnp.float32)
    changed = Augmentation(brightness=0.9, contrast=0.9, saturation=0.9)(KEYS, images)
    assert (changed[..., -1] == images[..., -1]).all()
    assert (changed[..., :-1] != images[..., :-1]).any()
    assert abs(changed).max() <= 1


@pytest.mark.slow
def test_erasing_fills_one_rectangle_of_its_share_of_images_with_noise(noise):
    changed = np.asarray(Augmentation(erase=0.5, erase_side=0.5)(KEYS, noise) != noise)
    sizes = []
    for image in changed:
        rows, columns = np.flatnonzero(image.any(axis=(1, 2))), np.flatnonzero(image.any(axis=(0, 2)))
        if len(rows):
            assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            sizes.append((len(rows), len(columns)))
    assert 16 <= len(sizes) <= 44  # of 64; some rectangles are less than a pixel
    assert np.max(sizes, axis=0).tolist() <= [6, 5]
    assert (np.max(sizes, axis=0) >= [5, 4]).all()


@pytest.mark.slow
def test_images_move_as_they_always_did_under_their_keys(images):
    """A run that an earlier version began goes on: the first half of a key has six numbers, the shift's come first."""
    draws = jax.vmap(lambda key: jax.random.uniform(jax.random.split(key)[0], (6,), minval=-1)[:2])(KEYS)
    for more in ({}, {"brightness": 1e-6, "erase": 1e-6}):
        moved = centers(Augmentation(shift=3, **more)(KEYS, images + 0)) - centers(images)
        np.testing.assert_allclose(moved[:, ::-1], 3 * draws, atol=0.05)


NEW = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "erase": 0.0, "erase_side": 0.7}


@pytest.mark.slow
def test_what_is_off_leaves_the_bits_of_everything_else(images):
    wanted = Augmentation(shift=2, rotation=10, scale=0.1, shear=10, elastic=1)
    changed = wanted(KEYS, images)
    assert (Augmentation(shift=2, rotation=10, scale=0.1, shear=10, elastic=1, **NEW)(KEYS, images) == changed).all()
    assert Augmentation(**NEW)(KEYS, images) is images
    more = Augmentation(shift=2, rotation=10, scale=0.1, shear=10, elastic=1, erase=1, erase_side=0.3)(KEYS, images)
    assert (more == changed).mean() > 0.8  # outside of the rectangles, which do not change how images move


@pytest.mark.parametrize("number", [np.int64(1), np.float32(1), np.array(1.0), jnp.int32(1), jnp.bfloat16(1)])
def test_numbers_of_numpy_and_jax_are_kept_as_pythons(number):
    augmentation = Augmentation(shift=number)
    assert augmentation == Augmentation(shift=1)
    assert type(augmentation.shift) in (int, float)


@pytest.mark.parametrize(
    "change",
    [
        {"shift": -1},
        {"scale": 1.0},
        {"rotation": 200},
        {"elastic": float("nan")},
        {"flip": 1.1},
        {"erase_side": 2},
        {"shift": "2"},
        {"shift": None},
        {"shift": np.ones(2)},
        {"shift": np.complex64(1)},
    ],
)
def test_values_out_of_range_are_refused(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} must be from 0 to .*, got"):
        Augmentation(**change)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 5, 2), (20, 30, 3), (30, 20, 4)])
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
