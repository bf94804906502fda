"""The factors of an image of a shape, and the ranges from which they are drawn.

Lengths are in pixels, x points to the right and y down, angles are in radians.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np

from ..errors import InputError

SHAPES = ("circle", "ellipse", "square", "rectangle", "triangle", "pentagon", "hexagon", "star", "cross")

# The symmetry angle of each shape in radians, in the order of SHAPES; 0: any angle.
SYMMETRY = tuple(np.pi * turn for turn in (0, 1, 1 / 2, 1, 2 / 3, 2 / 5, 1 / 3, 2 / 5, 1 / 2))
OWNERS: dict[str, tuple[str, ...]] = {
    "rotation": tuple(name for name, angle in zip(SHAPES, SYMMETRY, strict=True) if angle),
    "aspect": ("ellipse", "rectangle"),
    "star_depth": ("star",),
    "cross_width": ("cross",),
}
"""The shapes that have a factor that other shapes lack."""

# Limits that keep the label recoverable, for any ranges.
MIN_SIZE_PIXELS = 5.0
MIN_CONTRAST = 0.1
MIN_ASPECT = 1.2
MAX_STAR_DEPTH = 0.7
"""At 0.81, the cosine of 36 degrees, and above, a star is a pentagon."""
MAX_CROSS_WIDTH = 0.7
"""At 1 a cross is a square."""


@dataclass(frozen=True, kw_only=True)
class ShapeRanges:
    """The ranges `(low, high)` from which an image's factors are drawn uniformly.

    Lengths are fractions of the image's side, so that the ranges hold for any image size. Levels are from 0 (black) to
    1 (white).

    >>> ranges = ShapeRanges(contrast=(0.5, 1.0), outlined=0.0)  # clearly visible, filled shapes
    >>> shapes = ShapeDataSource(ranges=ranges)

    Args:
        size: Radius of the circle around the shape; never below `MIN_SIZE_PIXELS`.
        rotation: As a fraction of the shape's symmetry angle: (0, 1) gives every orientation once.
        aspect: Long side over short side of rectangles and ellipses; never below `MIN_ASPECT`, where they would be
            squares.
        star_depth: Inner over outer radius of the star.
        cross_width: Width over length of the cross's arms.
        contrast: Difference between foreground and background at the image's centre; never below `MIN_CONTRAST`.
        gradient: Change of the background level across the frame, as a fraction of the contrast.
        outlined: Fraction of the shapes that are drawn as an outline.
        stroke: Width of an outline; never below one pixel.
        outset: Fraction of an outline's width that lies outside the shape's edge.
        noise: Standard deviation of the sensor noise, in levels.
        blur: Width of the blur, in addition to that of a pixel.
        tint: Strength of the colour in RGB images; the mean over the channels does not change.

    Raises:
        InputError: A range is empty, out of its bounds, or makes the label ambiguous.
    """

    size: tuple[float, float] = (0.14, 0.48)
    rotation: tuple[float, float] = (0.0, 1.0)
    aspect: tuple[float, float] = (1.35, 3.0)
    star_depth: tuple[float, float] = (0.35, 0.56)
    cross_width: tuple[float, float] = (0.2, 0.45)
    contrast: tuple[float, float] = (0.3, 1.0)
    gradient: tuple[float, float] = (0.0, 0.5)
    outlined: float = 0.5
    stroke: tuple[float, float] = (0.015, 0.1)
    outset: tuple[float, float] = (0.0, 0.5)
    noise: tuple[float, float] = (0.0, 0.06)
    blur: tuple[float, float] = (0.0, 0.02)
    tint: tuple[float, float] = (0.0, 0.15)

    def __post_init__(self) -> None:
        bounds = {
            "size": (0, 0.5),
            "aspect": (MIN_ASPECT, 10),
            "star_depth": (0.1, MAX_STAR_DEPTH),
            "cross_width": (0.1, MAX_CROSS_WIDTH),
            "contrast": (MIN_CONTRAST, 1),
            "stroke": (0, 0.25),
            "noise": (0, 0.25),
            "blur": (0, 0.1),
        }
        for field in fields(self):
            if field.name == "outlined":
                continue
            try:
                low, high = getattr(self, field.name)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"range {field.name} must be (low, high), got {getattr(self, field.name)!r}"
                ) from error
            object.__setattr__(self, field.name, (low, high))  # a list could not be a key of jit's cache
            least, most = bounds.get(field.name, (0, 1))
            if not least <= low <= high <= most:
                raise InputError(f"range {field.name} must have {least} <= low <= high <= {most}, got ({low}, {high})")
        if not 0 <= self.outlined <= 1:
            raise InputError(f"outlined must be a fraction from 0 to 1, got {self.outlined}")


RANGED = tuple(field.name for field in fields(ShapeRanges) if field.name != "outlined")
DRAWN = (*RANGED, "filled", "polarity", "x", "y", "gradient's direction", "lift")
"""The factors in the order of their random numbers, one each; those of the colours follow."""

Array = TypeVar("Array", jax.Array, np.ndarray)


class Factors(NamedTuple, Generic[Array]):
    """The factors of images: arrays (b,), (b, c) for levels, and (b, 2) for vectors."""

    label: Array
    """Index into the source's class names, int32."""
    center: Array
    """x and y of the shape's centre, in pixels from the top left corner of the frame."""
    size: Array
    """Radius of the circle around the shape, in pixels."""
    rotation: Array
    """Radians, modulo the shape's symmetry; 0 for a circle."""
    aspect: Array
    """Long side over short side of a rectangle or ellipse; 1 for the others."""
    proportion: Array
    """Depth of a star or arm width of a cross (see `ShapeRanges`); 1 for the others."""
    filled: Array
    """True where the shape is filled, False where it is an outline."""
    stroke: Array
    """Width of the outline in pixels; 0 where filled."""
    outset: Array
    """How far the outline reaches beyond the edge, in pixels; 0 where filled."""
    contrast: Array
    """Absolute difference of the foreground and background levels, averaged over the channels."""
    foreground: Array
    """Level of the shape per channel."""
    background: Array
    """Level of the background at the image's centre, per channel."""
    gradient: Array
    """Change of the background level across the frame, along x and along y."""
    noise: Array
    """Standard deviation of the noise, in levels."""
    blur: Array
    """Width in pixels of the blur."""


def check_drawable(class_names: Sequence[str], image_size: int, ranges: ShapeRanges) -> None:
    """Raises `InputError` unless these shapes can be drawn so that they can be told apart."""
    unknown = [name for name in class_names if name not in SHAPES]
    if unknown:
        raise InputError(f"unknown class {unknown[0]!r}: choose from {', '.join(SHAPES)}")
    if ranges.size[1] * image_size < MIN_SIZE_PIXELS:
        raise InputError(
            f"shapes of up to {ranges.size[1]:g} x {image_size} pixels are too small to be told apart: raise the "
            f"range of sizes or the image size until they reach {MIN_SIZE_PIXELS:g} pixels"
        )
    reach = ranges.outset[1] * max(ranges.stroke[1] * image_size, 1)
    if MIN_SIZE_PIXELS + reach > image_size / 2:
        raise InputError(
            f"outlines that reach {reach:g} pixels beyond their shapes leave no room in {image_size} pixels: "
            "lower the range of strokes or of outsets"
        )
