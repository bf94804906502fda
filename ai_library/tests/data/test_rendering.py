"""The drawn images show what their factors say."""

import numpy as np
import pytest

from ai_library import SHAPES, InputError, ShapeDataSource, ShapeRanges

pytestmark = pytest.mark.usefixtures("quickly_compiled")

PLAIN = ShapeRanges(noise=(0, 0), blur=(0, 0), gradient=(0, 0), contrast=(1, 1))


def drawn(n=90, **changes):
    """The first training images and factors of a source with these arguments."""
    source = ShapeDataSource(seed=1, **changes)
    return source.examples("train", range(n))[0], source.factors("train", range(n))


def cover(images, factors):
    """The share of each pixel (b, h, w) that the shape covers, for images of full contrast."""
    return np.abs(images[..., 0] / 255.0 - factors.background[:, :1, None])


@pytest.fixture(scope="module")
def plain():
    """Images of every class, half of them filled, of full contrast and without noise, and their factors."""
    return drawn(900, ranges=PLAIN)


@pytest.mark.slow
def test_filled_shapes_have_the_area_that_geometry_gives(plain):
    images, factors = plain
    filled = factors.filled
    radius, aspect, proportion = factors.size, factors.aspect, factors.proportion
    arm = 2 * radius / np.hypot(1, proportion)

    def polygon(corners):
        return corners / 2 * radius**2 * np.sin(2 * np.pi / corners)

    areas = {
        "circle": np.pi * radius**2,
        "ellipse": np.pi * radius**2 / aspect,
        "square": 2 * radius**2,
        "rectangle": 4 * radius**2 * aspect / (1 + aspect**2),
        "triangle": polygon(3),
        "pentagon": polygon(5),
        "hexagon": polygon(6),
        "star": 5 * radius**2 * proportion * np.sin(np.pi / 5),
        "cross": arm**2 * proportion * (2 - proportion),
    }
    found = cover(images, factors).sum(axis=(1, 2))
    wanted = np.choose(factors.label, [areas[name] for name in SHAPES])
    # Where two edges meet in a corner the ramp of one pixel is off by a part of a pixel.
    np.testing.assert_allclose(found[filled], wanted[filled], rtol=0.01, atol=3)


@pytest.mark.slow
def test_center_is_the_middle_of_the_pixels_that_are_covered(plain):
    images, factors = plain
    weight = cover(images, factors)
    pixel = np.arange(64) + 0.5
    found = (
        np.stack([(weight * pixel).sum((1, 2)), (weight * pixel[:, None]).sum((1, 2))], 1) / weight.sum((1, 2))[:, None]
    )
    np.testing.assert_allclose(found, factors.center, atol=0.15)


@pytest.mark.slow
def test_long_side_points_along_the_rotation(plain):
    images, factors = plain
    oblong = factors.filled & np.isin(factors.label, [SHAPES.index("ellipse"), SHAPES.index("rectangle")])
    pixel = np.arange(64) + 0.5
    for image, center, rotation in zip(
        cover(images, factors)[oblong], factors.center[oblong], factors.rotation[oblong], strict=True
    ):
        x, y = pixel - center[0], (pixel - center[1])[:, None]
        moments = [(image * x * x).sum(), (image * x * y).sum(), (image * y * y).sum()]
        angle = 0.5 * np.arctan2(2 * moments[1], moments[0] - moments[2])
        assert abs((angle - rotation + np.pi / 2) % np.pi - np.pi / 2) < 0.03


@pytest.mark.slow
def test_outlines_have_the_width_that_factors_say(plain):
    images, factors = plain
    circle = (factors.label == SHAPES.index("circle")) & ~factors.filled
    outer, inner = factors.size + factors.outset, factors.size + factors.outset - factors.stroke
    wanted = np.pi * (outer**2 - np.maximum(inner, 0) ** 2)
    found = cover(images, factors).sum(axis=(1, 2))
    np.testing.assert_allclose(found[circle], wanted[circle], rtol=0.02, atol=1)


@pytest.mark.slow
def test_shapes_lie_inside_the_frame(plain):
    images, factors = plain
    reach = (factors.size + factors.outset)[:, None]
    assert (factors.center - reach >= -1e-3).all()
    assert (factors.center + reach <= 64 + 1e-3).all()
    # the four corner pixels are out of reach of any shape inside the frame: the plain background
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] / 255
    np.testing.assert_allclose(corners, np.broadcast_to(factors.background, corners.shape), atol=0.003)


@pytest.mark.slow
def test_factors_stay_in_their_ranges_and_labels_above_their_floors():
    ranges = ShapeRanges()
    _, factors = drawn(4500, sizes=(4500, 1, 1))
    oblong = np.isin(factors.label, [SHAPES.index("ellipse"), SHAPES.index("rectangle")])
    assert factors.aspect[oblong].min() >= ranges.aspect[0]
    assert (factors.aspect[~oblong] == 1).all()
    assert factors.contrast.min() >= ranges.contrast[0]
    assert factors.contrast.max() <= ranges.contrast[1]
    assert factors.size.min() >= ranges.size[0] * 64
    assert factors.noise.max() <= ranges.noise[1]
    assert abs(factors.filled.mean() - 0.5) < 0.03
    symmetry = dict(zip(SHAPES, np.pi * np.array([0, 1, 1 / 2, 1, 2 / 3, 2 / 5, 1 / 3, 2 / 5, 1 / 2]), strict=True))
    for label, name in enumerate(SHAPES):
        rotation = factors.rotation[factors.label == label]
        assert rotation.min() >= 0
        assert rotation.max() <= symmetry[name]
        assert rotation.max() >= 0.98 * symmetry[name]


@pytest.mark.slow
def test_noise_has_the_deviation_that_factors_say():
    ranges = ShapeRanges(contrast=(0.3, 0.3), gradient=(0, 0), noise=(0.02, 0.05), size=(0.14, 0.2), outlined=1)
    images, factors = drawn(180, ranges=ranges)
    assert not factors.filled.any()
    usable = (factors.background[:, 0] > 0.25) & (factors.background[:, 0] < 0.75)  # noise is not cut off at 0 or 1
    corner = images[usable, :8, :8, 0] / 255.0
    away = np.linalg.norm(factors.center[usable] - 4, axis=1) > factors.size[usable] + factors.outset[usable] + 8
    ratio = corner[away].std(axis=(1, 2)) / factors.noise[usable][away]
    assert abs(ratio.mean() - 1) < 0.03


@pytest.mark.slow
def test_colour_leaves_the_mean_over_the_channels_alone():
    images, factors = drawn(channels=3, ranges=PLAIN)
    assert images.shape == (90, 64, 64, 3)
    np.testing.assert_allclose(
        abs(factors.foreground.mean(axis=1) - factors.background.mean(axis=1)), factors.contrast, atol=1e-5
    )
    assert factors.foreground.std(axis=1).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 64, 100])
def test_any_size_is_drawn(size):
    images, factors = drawn(image_size=size)
    assert images.shape == (90, size, size, 1)
    assert (images.reshape(90, -1).max(axis=1) - images.reshape(90, -1).min(axis=1)).min() > 40
    assert factors.size.min() >= 5


@pytest.mark.parametrize(
    "change",
    [
        {"aspect": (1.0, 2.0)},
        {"contrast": (0.0, 1.0)},
        {"size": (0.3, 0.2)},
        {"size": (0.2, 0.6)},
        {"outlined": 1.5},
        {"noise": (0, 1)},
        {"stroke": (0, 1)},
        {"star_depth": (0.0, 0.5)},
        {"star_depth": (0.5, 0.81)},
        {"cross_width": (0.3, 1.0)},
        {"size": 0.3},
    ],
)
def test_ranges_that_hide_the_label_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        ShapeRanges(**change)


@pytest.mark.slow
def test_ranges_may_be_lists_and_leave_room_for_the_outline():
    source = ShapeDataSource(ranges=ShapeRanges(**{**PLAIN.__dict__, "size": [*PLAIN.size]}))
    assert source.example("train", 0)[0].shape == (64, 64, 1)
    with pytest.raises(InputError, match="leave no room in 16 pixels"):
        ShapeDataSource(image_size=16, ranges=ShapeRanges(stroke=(0.25, 0.25), outset=(1, 1)))
