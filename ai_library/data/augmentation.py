"""Augmentation: random changes to training images that keep their labels."""

import math
from dataclasses import dataclass, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike

from ..errors import InputError, plain_number
from ..runtime.jax_settings import settings

_MOST = {"shift": 180, "rotation": 180, "scale": 0.9, "shear": 60, "elastic": 180}
"""Upper bounds of the fields; for all others it is 1."""
_LUMA = 0.299, 0.587, 0.114
"""Weights of red, green and blue in grey (ITU-R BT.601), as in Pillow."""
_FLIP, _COLOUR, _ERASE, _NOISE = range(2, 6)
"""Folded into an image's key for each kind of draw; 0 and 1 would give the keys of its `split`."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The largest random changes of a training image; 0 means no change.

    Changes are drawn uniformly, in both directions. `flip` and `erase` are fractions of the images.

    Pixels that move in from outside the frame repeat its border. Images may have any height and width, and 1 to 4
    channels: grey, grey and alpha, RGB, or RGBA. Alpha is not recoloured.

    >>> augmentation = Augmentation(shift=2, rotation=10)
    >>> keys, images = jax.random.split(jax.random.key(0), 5), np.zeros((5, 16, 16, 1), np.float32)
    >>> jax.eval_shape(augmentation, keys, images).shape
    (5, 16, 16, 1)

    Args:
        shift: Along x and along y, in pixels.
        rotation: In degrees.
        scale: Along x and along y, as a fraction: 0.1 draws factors from 0.9 to 1.1.
        shear: Slant of vertical lines, in degrees.
        elastic: Displacement of the nodes of a coarse grid, in pixels, with bilinear interpolation between them (after
            Simard, ICDAR 2003).
        flip: Fraction of the images that are mirrored left to right. Use it only if a mirrored image keeps its label,
            unlike digits, letters and arrows.
        brightness: As a fraction: 0.2 multiplies the distance from black by 0.8 to 1.2.
        contrast: As a fraction: 0.2 multiplies the distance from the image's mean by 0.8 to 1.2.
        saturation: As a fraction: 0.2 multiplies the distance from grey by 0.8 to 1.2, in RGB and RGBA images.
        erase: Fraction of the images in which a random rectangle is filled with noise (Zhong et al.,
            arXiv:1708.04896).
        erase_side: Largest height and width of that rectangle, as a fraction of the image's.

    Raises:
        InputError: A value is no number or out of its range: 0 to 180 for `shift`, `rotation` and `elastic`, to 0.9 for
            `scale`, to 60 for `shear`, and to 1 for the others.
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0
    erase_side: float = 0.4

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), _MOST.get(field.name, 1)
            number = plain_number(value)
            if not 0 <= number <= most:
                raise InputError(f"{field.name} must be from 0 to {most}, got {value!r}")
            object.__setattr__(self, field.name, number)

    @settings()
    def __call__(self, keys: jax.Array, images: jax.Array, strength: ArrayLike = 1.0) -> jax.Array:
        """Changes each image at random.

        Args:
            keys: (b,) JAX keys, one per image.
            images: (b, h, w, c) of any float type, in [-1, 1].
            strength: Multiplies every value but `erase_side`. With 0.5, changes are half as large, and half as many
                images are flipped or erased.

        Returns:
            The changed images, of the same shape and type.
        """
        if replace(self, erase_side=0.0) == Augmentation(erase_side=0.0):
            return images
        return jax.vmap(partial(self._change, strength))(keys, images)

    def _change(self, strength, key, image):
        if self.flip:
            image = jnp.where(_draws(key, _FLIP) < self.flip * strength, image[:, ::-1], image)
        if self.shift or self.rotation or self.scale or self.shear or self.elastic:
            image = self._moved(strength, key, image)
        if self.brightness or self.contrast or self.saturation:
            image = self._recoloured(strength, key, image)
        return self._erased(strength, key, image) if self.erase else image

    def _moved(self, strength, key, image):
        height, width, _ = image.shape
        affine_key, elastic_key = jax.random.split(key)
        across, down, turn, slant, wide, high = strength * jax.random.uniform(affine_key, (6,), minval=-1)
        angle, shear = jnp.radians(self.rotation) * turn, jnp.tan(jnp.radians(self.shear) * slant)
        cos, sin = jnp.cos(angle), jnp.sin(angle)

        # The source of each pixel of the new image: the inverse of scale, shear, rotation and shift.
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

    def _recoloured(self, strength, key, image):
        colours = len(_LUMA) if image.shape[-1] >= len(_LUMA) else 1
        colour, alpha = image[..., :colours], image[..., colours:]
        most = jnp.array([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = 1 + strength * most * (2 * _draws(key, _COLOUR, (3,)) - 1)
        if self.brightness:
            colour = (colour + 1) * brightness - 1
        if self.contrast:
            colour = colour.mean() + (colour - colour.mean()) * contrast
        if self.saturation and colours > 1:
            grey = (colour @ jnp.array(_LUMA, colour.dtype))[..., None]
            colour = grey + (colour - grey) * saturation
        return jnp.concatenate([jnp.clip(colour, -1, 1), alpha], axis=-1).astype(image.dtype)

    def _erased(self, strength, key, image):
        height, width, _ = image.shape
        chosen, tall, wide, top, left = _draws(key, _ERASE, (5,))
        tall, wide = tall * self.erase_side * height, wide * self.erase_side * width
        y, x = jnp.arange(height) - top * (height - tall), jnp.arange(width) - left * (width - wide)
        inside = ((y >= 0) & (y < tall))[:, None] & ((x >= 0) & (x < wide))
        noise = jax.random.uniform(jax.random.fold_in(key, _NOISE), image.shape, image.dtype, minval=-1)
        return jnp.where((inside & (chosen < self.erase * strength))[..., None], noise, image)


def _draws(key, kind, shape=()):
    """Random numbers in [0, 1) for one kind of change, independent of all other draws."""
    return jax.random.uniform(jax.random.fold_in(key, kind), shape)
