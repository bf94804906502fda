"""Random changes to training images that leave their labels as they are."""

import math
from dataclasses import dataclass, fields
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike

from ..errors import InputError
from ..runtime.jax_settings import settings


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an image is moved, turned and bent at most, evenly either way; 0 leaves it as it is.

    What moves into the frame continues the border. Images may have any height, width and number of channels.

    Args:
        shift: Along x and along y, in pixels.
        rotation: In degrees.
        scale: Along x and along y, as a fraction: 0.1 draws factors from 0.9 to 1.1.
        shear: Slant of the vertical lines, in degrees.
        elastic: Displacement of the nodes of a coarse grid, in pixels, bilinear between them (after Simard, ICDAR
            2003).

    Raises:
        InputError: A value is not from 0 to 180; to 0.9 for `scale`, and to 60 for `shear`.
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), {"scale": 0.9, "shear": 60}.get(field.name, 180)
            if not 0 <= value <= most:
                raise InputError(f"{field.name} must be from 0 to {most}, got {value}")

    @settings()
    def __call__(self, keys: jax.Array, images: jax.Array, strength: ArrayLike = 1.0) -> jax.Array:
        """Changes images (b, h, w, c) of any float type, each as its key out of `keys` (b,) has it; none where every
        value is 0.

        `strength` multiplies every value: with 0.5 images are moved, turned and bent half as far.
        """
        if self == Augmentation():
            return images
        return jax.vmap(partial(self._change, strength))(keys, images)

    def _change(self, strength, key, image):
        height, width, _ = image.shape
        affine_key, elastic_key = jax.random.split(key)
        across, down, turn, slant, wide, high = strength * jax.random.uniform(affine_key, (6,), minval=-1)
        angle, shear = jnp.radians(self.rotation) * turn, jnp.tan(jnp.radians(self.shear) * slant)
        cos, sin = jnp.cos(angle), jnp.sin(angle)

        # Where each pixel of the new image comes from: the inverse of scaling, shearing, turning, and moving.
        y, x = jnp.mgrid[:height, :width] - jnp.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
        x, y = x - self.shift * across, y - self.shift * down
        x, y = cos * x + sin * y, cos * y - sin * x
        x = x - shear * y
        x, y = x / (1 + self.scale * wide), y / (1 + self.scale * high)
        if self.elastic:
            nodes = (2, math.ceil(height / 7) + 1, math.ceil(width / 7) + 1)
            pull = strength * jax.random.uniform(elastic_key, nodes, minval=-self.elastic, maxval=self.elastic)
            pull = jax.image.resize(pull, (2, height, width), "bilinear")
            x, y = x + pull[0], y + pull[1]
        at = (y + (height - 1) / 2, x + (width - 1) / 2)
        return jax.vmap(lambda channel: map_coordinates(channel, at, order=1, mode="nearest"), -1, -1)(image)
