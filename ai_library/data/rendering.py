"""Factors -> images: draws the nine shapes by signed distance functions.

One image is described by its `Factors`; `draw` samples the factors of item `i` from the key `(seed, split, i)` and
paints them. Both steps are written for one image and vectorised over the batch by `jax.vmap`, so a row never depends
on its neighbours. Lengths are in pixels, x runs to the right and y downwards, angles are in radians.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ..errors import InputError

SHAPES = ("circle", "ellipse", "square", "rectangle", "triangle", "pentagon", "hexagon", "star", "cross")

# Per shape, in the order of SHAPES. The corners of a regular polygon or star (a box or an ellipse has no use for it):
_CORNERS = (0, 0, 0, 0, 3, 5, 6, 5, 0)
# the angle in radians after which the shape looks the same again; 0: it looks the same at every angle:
_SYMMETRY = tuple(np.pi * turn for turn in (0, 1, 1 / 2, 1, 2 / 3, 2 / 5, 1 / 3, 2 / 5, 1 / 2))

# What keeps a label recoverable, whatever ranges are asked for.
MIN_SIZE_PIXELS = 5.0
MIN_CONTRAST = 0.1
MIN_ASPECT = 1.2
MAX_STAR_DEPTH = 0.7
"""From 0.81 on, the cosine of 36 degrees, a star is a pentagon."""
MAX_CROSS_WIDTH = 0.7
"""With 1 a cross is a square."""


@dataclass(frozen=True, kw_only=True)
class ShapeRanges:
    """The ranges, `(low, high)`, that an image's factors are drawn from, evenly.

    Lengths are fractions of the image's side, so that one set of ranges serves every image size; levels run from 0
    (black) to 1 (white). Raises `InputError` for a range that is empty, out of bounds, or makes the label ambiguous.

    Args:
        size: Radius of the circle around the shape; never below `MIN_SIZE_PIXELS`.
        rotation: Part of the shape's symmetry angle: (0, 1) gives every orientation once.
        aspect: Long side over short side of rectangles and ellipses; never below `MIN_ASPECT`, where they would be
            squares.
        star_depth: Inner over outer radius of the star.
        cross_width: Width over length of the cross's arms.
        contrast: Difference between foreground and background at the image's centre; never below `MIN_CONTRAST`.
        gradient: Change of the background across the frame, as part of the contrast.
        outlined: Share of the shapes that are drawn as an outline.
        stroke: Width of an outline; never below one pixel.
        outset: Share of an outline's width that lies outside the shape's edge.
        noise: Standard deviation of the sensor noise, in levels.
        blur: Width of the blur that is added to a pixel's own width.
        tint: Strength of the colour in three-channel images; it leaves the mean over the channels as it is.
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


Array = TypeVar("Array", jax.Array, np.ndarray)


class Factors(NamedTuple, Generic[Array]):
    """What an image shows. Arrays of one entry an image, `(b,)`; `(b, c)` for levels and `(b, 2)` for vectors."""

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
    """Level of the shape, a channel."""
    background: Array
    """Level of the background at the image's centre, a channel."""
    gradient: Array
    """Change of the background level across the frame, along x and along y."""
    noise: Array
    """Standard deviation of the noise, in levels."""
    blur: Array
    """Width in pixels of the blur."""


def check_drawable(class_names: Sequence[str], image_size: int, ranges: ShapeRanges) -> None:
    """Raises `InputError` unless these shapes can be drawn so that each can be told from the others."""
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


def draw(
    key: jax.Array,
    indices: ArrayLike,
    *,
    class_names: tuple[str, ...],
    image_size: int,
    channels: int,
    ranges: ShapeRanges,
) -> tuple[jax.Array, Factors[jax.Array]]:
    """Draws the items `indices` (b,) uint32 of the stream `key`; item `i` shows class `i mod len(class_names)`.

    Returns images (b, h, w, c) uint8 and their `Factors`. The class names are out of `SHAPES`. A pure function, to be
    called in a larger program that JAX compiles; `draw_compiled` is it by itself.
    """
    kinds = jnp.array([SHAPES.index(name) for name in class_names], jnp.int32)

    def draw_one(index):
        factor_key, noise_key = jax.random.split(jax.random.fold_in(key, index))
        label = (index % len(class_names)).astype(jnp.int32)
        factors = _sample(factor_key, label, kinds[label], image_size, channels, ranges)
        return _paint(noise_key, factors, kinds[label], image_size), factors

    return jax.vmap(draw_one)(indices)


draw_compiled: Callable[..., tuple[jax.Array, Factors[jax.Array]]] = jax.jit(
    draw,
    static_argnames=("class_names", "image_size", "channels", "ranges"),
    # LLVM halves AVX-512's registers unless asked not to; a processor without them is not concerned.
    compiler_options={"xla_cpu_prefer_vector_width": 512},
)


def _sample(key, label, kind, image_size, channels, ranges):
    """The factors of one image of the shape `SHAPES[kind]`."""
    ranged = [field.name for field in fields(ranges) if field.name != "outlined"]
    low, high = np.array([getattr(ranges, name) for name in ranged], np.float32).T
    even = jax.random.uniform(key, (len(ranged) + 6 + 2 * channels,))
    drawn = dict(zip(ranged, low + (high - low) * even[: len(ranged)], strict=True))
    fill, polarity, across, down, direction, lift = even[len(ranged) : len(ranged) + 6]
    colour = 2 * even[-2 * channels :].reshape(2, channels) - 1

    filled = fill >= ranges.outlined
    stroke = jnp.where(filled, 0.0, jnp.maximum(drawn["stroke"] * image_size, 1.0))
    outset = drawn["outset"] * stroke
    half = image_size / 2
    size = jnp.minimum(jnp.maximum(drawn["size"] * image_size, MIN_SIZE_PIXELS), half - outset)
    center = half + (2 * jnp.stack([across, down]) - 1) * (half - size - outset)

    contrast = drawn["contrast"]
    dark = lift * (1 - contrast)
    levels = jnp.where(polarity < 0.5, jnp.stack([dark, dark + contrast]), jnp.stack([dark + contrast, dark]))
    tinted = levels[:, None] + drawn["tint"] * (colour - colour.mean(axis=1, keepdims=True))
    angle = 2 * jnp.pi * direction

    star, cross = kind == SHAPES.index("star"), kind == SHAPES.index("cross")
    oblong = (kind == SHAPES.index("ellipse")) | (kind == SHAPES.index("rectangle"))
    return Factors(
        label=label,
        center=center,
        size=size,
        rotation=drawn["rotation"] * jnp.array(_SYMMETRY, jnp.float32)[kind],
        aspect=jnp.where(oblong, drawn["aspect"], 1.0),
        proportion=jnp.where(star, drawn["star_depth"], jnp.where(cross, drawn["cross_width"], 1.0)),
        filled=filled,
        stroke=stroke,
        outset=outset,
        contrast=contrast,
        foreground=tinted[0],
        background=tinted[1],
        gradient=drawn["gradient"] * contrast * jnp.stack([jnp.cos(angle), jnp.sin(angle)]),
        noise=drawn["noise"],
        blur=drawn["blur"] * image_size,
    )


def _paint(key, factors, kind, image_size):
    """One image (h, w, c) uint8 of its factors."""
    pixel = jnp.arange(image_size, dtype=jnp.float32) + 0.5
    distance = _signed_distance(factors, kind, pixel[None, :], pixel[:, None])
    # An edge crosses a pixel of width w in a ramp of that width: the mean over the pixel, without supersampling.
    ramp = 1 / (1 + factors.blur)
    outer = jnp.clip(0.5 - (distance - factors.outset) * ramp, 0, 1)
    inner = jnp.clip(0.5 - (distance - factors.outset + factors.stroke) * ramp, 0, 1)
    cover = jnp.where(factors.filled, outer, outer - inner)[..., None]

    slope = pixel / image_size - 0.5
    shade = factors.gradient[0] * slope[None, :] + factors.gradient[1] * slope[:, None]
    background = factors.background + shade[..., None]
    levels = background + cover * (factors.foreground - background)
    levels += factors.noise * _noise(key, levels.shape)
    return jnp.round(255 * jnp.clip(levels, 0, 1)).astype(jnp.uint8)


def _noise(key, shape):
    """Bell-shaped noise of mean 0 and deviation 1: the sum of four random bytes, which ends at 3.45 deviations.

    The bytes are a hash of the pixel's number, keyed twice. `jax.random.normal` in its place takes longer than all
    other drawing together, for statistics that no pixel of 8 bits shows.
    """
    first, second = jax.random.bits(key, (2,))
    word = _hash(_hash(jnp.arange(math.prod(shape), dtype=jnp.uint32) + first) + second).reshape(shape)
    pairs = (word & 0x00FF00FF) + ((word >> 8) & 0x00FF00FF)  # two sums of two bytes, side by side
    total = ((pairs & 0xFFFF) + (pairs >> 16)).astype(jnp.float32)
    return (total - 4 * 127.5) / math.sqrt(4 * (256**2 - 1) / 12)


def _hash(word):
    """Mixes the bits of uint32 words; the constants are those of C. Wellons' `lowbias32` (nullprogram.com, 2018)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def _signed_distance(factors, kind, x, y):
    """Distance in pixels of the points (x, y) to the shape's edge, negative inside.

    Exact outside of all shapes but the ellipse, and inside up to the nearest side's line. The ellipse is exact to first
    order at its edge: f / |grad f| of its implicit equation (Taubin, IEEE PAMI 13(11), 1991).
    """
    x, y = x - factors.center[0], y - factors.center[1]
    cos, sin = jnp.cos(factors.rotation), jnp.sin(factors.rotation)
    x, y = cos * x + sin * y, cos * y - sin * x
    size, aspect, proportion = factors.size, factors.aspect, factors.proportion

    half_height = size / jnp.sqrt(1 + aspect**2)
    arm = size / jnp.sqrt(1 + proportion**2)
    long, short = jnp.maximum(jnp.abs(x), jnp.abs(y)), jnp.minimum(jnp.abs(x), jnp.abs(y))
    depth = jnp.where(kind == SHAPES.index("star"), proportion, 0.0)

    is_ellipse = kind <= SHAPES.index("ellipse")
    is_box = kind <= SHAPES.index("rectangle")
    is_cross = kind == SHAPES.index("cross")
    box = _box(
        jnp.where(is_cross, long, x),
        jnp.where(is_cross, short, y),
        jnp.where(is_cross, arm, aspect * half_height),
        jnp.where(is_cross, proportion * arm, half_height),
    )
    star = _star(x, y, size, jnp.array(_CORNERS, jnp.float32)[kind], depth)
    return jnp.where(is_ellipse, _ellipse(x, y, size, aspect), jnp.where(is_box | is_cross, box, star))


def _ellipse(x, y, size, aspect):
    root = jnp.sqrt(x * x + (aspect * y) ** 2)
    steepness = jnp.sqrt(x * x + aspect**4 * (y * y))
    return root * (root - size) / jnp.maximum(steepness, 1e-6)


def _box(x, y, half_width, half_height):
    x, y = jnp.abs(x) - half_width, jnp.abs(y) - half_height
    return _length(jnp.maximum(x, 0), jnp.maximum(y, 0)) + jnp.minimum(jnp.maximum(x, y), 0)


def _star(x, y, size, corners, depth):
    """A star of inner radius `depth * size`; depth 0 gives the polygon, whose inner corners lie on its sides."""
    half_angle = jnp.pi / jnp.maximum(corners, 3)
    depth = jnp.where(depth > 0, depth, jnp.cos(half_angle))
    # Fold the plane onto one half of one ray, where the edge is a single side from the tip to the inner corner.
    rays = 2 * half_angle * jnp.arange(max(_CORNERS))
    along = jnp.max(jnp.stack([x * jnp.cos(ray) + y * jnp.sin(ray) for ray in rays]), axis=0)
    beside = jnp.sqrt(jnp.maximum(x * x + y * y - along * along, 0))
    side_x, side_y = size * (depth * jnp.cos(half_angle) - 1), size * depth * jnp.sin(half_angle)
    along = along - size
    part = jnp.clip((along * side_x + beside * side_y) / (side_x**2 + side_y**2), 0, 1)
    gap = _length(along - part * side_x, beside - part * side_y)
    return jnp.where(along * side_y > beside * side_x, gap, -gap)


def _length(x, y):
    """`jnp.hypot` guards against squares that overflow, which takes longer than the root; pixels need no guard."""
    return jnp.sqrt(x * x + y * y)
