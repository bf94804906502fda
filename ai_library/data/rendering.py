"""Draws the nine shapes by signed distance functions.

An image is described by its `Factors`. `draw` samples the factors of item `i` from the key `(seed, split, i)` and
paints them. Both steps are written for one image and vectorised by `jax.vmap`, so that an image never depends on others
in its batch.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from .conditions import CHANCES, Conditions, given_label, shown_class, steered
from .shape_factors import DRAWN, MIN_SIZE_PIXELS, RANGED, SHAPES, SYMMETRY, Factors, ShapeRanges

_CORNERS = (0, 0, 0, 0, 3, 5, 6, 5, 0)
"""Number of corners of each polygon or star, in the order of SHAPES; boxes and ellipses do not use it."""


def draw(
    key: jax.Array,
    indices: ArrayLike,
    conditions: Conditions | None = None,
    *,
    class_names: tuple[str, ...],
    image_size: int,
    channels: int,
    ranges: ShapeRanges,
) -> tuple[jax.Array, jax.Array, Factors[jax.Array]]:
    """Draws the items `indices` (b,) uint32 of the stream `key`.

    Item `i` shows class `i mod len(class_names)`, unless the conditions change it. The class names are in `SHAPES`.

    It is a pure function for use within a larger jitted program; `draw_compiled` is the jitted function alone.

    Returns:
        Images (b, h, w, c) uint8, labels (b,) int32 and the `Factors` of the images.
    """
    kinds = _kinds(class_names)

    def draw_one(index):
        label, factors, noise_key = _describe(key, index, conditions, class_names, image_size, channels, ranges)
        return _paint(noise_key, factors, kinds[factors.label], image_size), label, factors

    return jax.vmap(draw_one)(indices)


def describe(
    key: jax.Array,
    indices: ArrayLike,
    conditions: Conditions | None = None,
    *,
    class_names: tuple[str, ...],
    image_size: int,
    channels: int,
    ranges: ShapeRanges,
) -> tuple[jax.Array, Factors[jax.Array]]:
    """The labels (b,) int32 and the `Factors` of `draw` for the same arguments, without drawing images."""

    def describe_one(index):
        return _describe(key, index, conditions, class_names, image_size, channels, ranges)[:2]

    return jax.vmap(describe_one)(indices)


_COMPILED: dict[str, Any] = {
    "static_argnames": ("class_names", "image_size", "channels", "ranges"),
    # By default LLVM uses half the width of AVX-512 registers. Other processors ignore the option.
    "compiler_options": {"xla_cpu_prefer_vector_width": 512},
}
draw_compiled: Callable[..., tuple[jax.Array, jax.Array, Factors[jax.Array]]] = jax.jit(draw, **_COMPILED)
describe_compiled: Callable[..., tuple[jax.Array, Factors[jax.Array]]] = jax.jit(describe, **_COMPILED)


def _kinds(class_names):
    return jnp.array([SHAPES.index(name) for name in class_names], jnp.int32)


def _describe(key, index, conditions, class_names, image_size, channels, ranges):
    """The label and the factors of an item, and the key of its noise."""
    conditions, item = conditions or Conditions(), jax.random.fold_in(key, index)
    factor_key, noise_key = jax.random.split(item)
    shown = shown_class(index, len(class_names), conditions)
    even = jax.random.uniform(factor_key, (len(DRAWN) + 2 * channels,))
    label = shown
    if any(each is not None for each in (conditions.cells, conditions.cue, conditions.noise)):
        chances = jax.random.uniform(jax.random.fold_in(item, 2), (CHANCES,))  # 0 and 1 give the keys of `split`
        even, label = steered(even, shown, chances, conditions), given_label(shown, chances, conditions)
    limits = limits_of(ranges) if conditions.ranges is None else conditions.ranges
    return label, _factors(even, shown, _kinds(class_names)[shown], image_size, channels, ranges, limits), noise_key


def limits_of(ranges: ShapeRanges) -> NDArray[np.float32]:
    """The low and high ends (2, ranges) of the factors in `DRAWN` that have a range."""
    return np.array([getattr(ranges, name) for name in RANGED], np.float32).T


def _factors(even, label, kind, image_size, channels, ranges, limits):
    """The factors of one image of the shape `SHAPES[kind]`, from uniform random numbers in [0, 1)."""
    low, high = limits
    drawn = dict(zip(RANGED, low + (high - low) * even[: len(RANGED)], strict=True))
    fill, polarity, across, down, direction, lift = even[len(RANGED) : len(DRAWN)]
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
        rotation=drawn["rotation"] * jnp.array(SYMMETRY, jnp.float32)[kind],
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
    """Paints the image (h, w, c) uint8 of the factors."""
    pixel = jnp.arange(image_size, dtype=jnp.float32) + 0.5
    distance = _signed_distance(factors, kind, pixel[None, :], pixel[:, None])
    # Antialiasing without supersampling: across an edge, coverage is a linear ramp of a pixel's width.
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
    """Nearly normal noise of mean 0 and deviation 1: the sum of four random bytes, within 3.45 deviations.

    The bytes are a hash of the pixel's index with two keys. `jax.random.normal` would take longer than all other
    drawing together, and the difference is invisible in 8 bits.
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

    It is exact outside of all shapes but the ellipse; inside, it is the distance to the nearest side's line. For the
    ellipse it is f / |grad f| of the implicit equation, exact to first order at the edge (Taubin, IEEE PAMI 13(11),
    1991).
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
    # By symmetry, fold the plane onto half a ray of the star: there the edge is one side, from tip to inner corner.
    rays = 2 * half_angle * jnp.arange(max(_CORNERS))
    along = jnp.max(jnp.stack([x * jnp.cos(ray) + y * jnp.sin(ray) for ray in rays]), axis=0)
    beside = jnp.sqrt(jnp.maximum(x * x + y * y - along * along, 0))
    side_x, side_y = size * (depth * jnp.cos(half_angle) - 1), size * depth * jnp.sin(half_angle)
    along = along - size
    part = jnp.clip((along * side_x + beside * side_y) / (side_x**2 + side_y**2), 0, 1)
    gap = _length(along - part * side_x, beside - part * side_y)
    return jnp.where(along * side_y > beside * side_x, gap, -gap)


def _length(x, y):
    """The Euclidean length. `jnp.hypot` is slower, because it guards against overflow, which pixels do not need."""
    return jnp.sqrt(x * x + y * y)
