"""Fits images of any size to the image shape of a model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .decoding import ENOUGH_PIXELS, reduced
from .grounds import MODES, on_ground
from .paper import freed, is_even

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_image(pixels: np.ndarray, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """Fits pixels into an image of `image_shape`, keeping their aspect ratio.

    The image is resized until it just fits, with antialiasing if it shrinks. An image of another aspect ratio is
    centred and padded with the median of its border. If `image_shape` has no alpha, a transparent image is composed
    with a background on which the drawing is visible (see `on_ground`).

    With a `content_size`, the model expects light content of this size on black, as in MNIST (LeCun et al., Proc. IEEE
    86(11), 1998). An image with a light border is inverted. Unless its content has that size already, the content is
    cut out, scaled to `content_size` pixels along its longer side, and placed with its centre of mass in the middle.

    Args:
        pixels: (h, w) or (h, w, c) uint8, of 1 to 4 channels: grey, grey and alpha, RGB, RGBA.
        image_shape: (h, w, c) of the result.
        content_size: Side of the content in pixels. None: any content.

    Returns:
        (h, w, c) uint8 of `image_shape`.
    """
    height, width, channels = image_shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[0] * pixels.shape[1] > 2 * ENOUGH_PIXELS:  # an array; files are reduced when they are read
        smaller = np.asarray(reduced(_as_pil(pixels)))
        pixels = smaller.reshape(*smaller.shape[:2], -1)
    if pixels.shape[2] in (2, 4) and (content_size or channels in (1, 3)):
        laid, _ = on_ground(_as_pil(pixels).convert("RGBA"), grey=channels in (1, 2))
        pixels = np.asarray(laid.convert("RGB"))
    if content_size:
        pixels = _with_content(pixels, image_shape, content_size)
    elif pixels.shape == (height, width, channels):
        return pixels  # as most are: nothing is left to do
    image = _as_pil(pixels).convert(MODES[channels])
    if image.size != (width, height):
        scale = min(width / image.width, height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        surroundings = np.median(_border(np.asarray(image).reshape(image.height, image.width, -1)), axis=0)
        canvas = Image.new(image.mode, (width, height), tuple(int(level) for level in surroundings))
        corner = (width - size[0]) // 2, (height - size[1]) // 2
        canvas.paste(image.resize(size, Image.Resampling.BICUBIC), corner)
        image = canvas
    return np.asarray(image).reshape(image_shape)


def _with_content(pixels, image_shape, content_size):
    """Pixels (h, w, c) with light content on black, of the size and at the position that a model expects."""
    light = 255 - pixels if np.median(_border(pixels)) > 127 else pixels
    level = _grey(light)
    if pixels.shape[:2] == tuple(image_shape[:2]) and _is_normal(level, content_size):
        return light
    return _centred(level if is_even(level) else freed(pixels), image_shape, content_size)


def _grey(pixels):
    return np.asarray(_as_pil(pixels).convert("L"), np.float32)


def _is_normal(level, content_size):
    """Whether light content (h, w) on black has the size `content_size`, and its centre of mass in the middle."""
    for threshold, most, off in ((0, 1, 1.0), (0.25, 2, 1.5)):  # exact, and after lossy compression
        light = level > threshold * level.max()
        if not light.any():
            return True
        spans = [np.ptp(np.flatnonzero(light.any(axis))) + 1 for axis in (1, 0)]
        shifts = [middle - side / 2 for middle, side in zip(_centre(level), level.shape, strict=True)]
        if abs(max(spans) - content_size) <= most and max(map(abs, shifts)) <= off:
            return True
    return False


def _centre(level):
    """The centre of mass (y, x) of levels (h, w), in pixels."""
    moments = level.sum(1, dtype=float), level.sum(0, dtype=float)
    return [(np.arange(len(moment)) + 0.5) @ moment / moment.sum() for moment in moments]


def _centred(level, image_shape, content_size):
    """Light content (h, w), cut out, scaled, and placed by its centre of mass on black (h, w, 1) of `image_shape`."""
    height, width, _ = image_shape
    canvas = np.zeros((height, width, 1), np.uint8)
    ground = np.median(_border(level[..., None]))
    light = level - ground > 0.25 * (level.max() - ground)
    if not light.any():
        return canvas
    (top, bottom), (left, right) = (np.flatnonzero(light.any(axis))[[0, -1]] for axis in (1, 0))
    content = (level[top : bottom + 1, left : right + 1] - ground).clip(0) * (255 / (level.max() - ground))
    scale = content_size / max(content.shape)
    size = [max(1, round(side * scale)) for side in content.shape[::-1]]
    content = np.asarray(Image.fromarray(content.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC))
    if not content.any():  # specks that vanished when the image shrank
        return canvas
    middle = _centre(content)
    top = np.clip(round(height / 2 - middle[0]), 0, height - content.shape[0])
    left = np.clip(round(width / 2 - middle[1]), 0, width - content.shape[1])
    canvas[top : top + content.shape[0], left : left + content.shape[1]] = content[..., None]
    return canvas


def _border(pixels):
    """The pixels (n, c) along the border of (h, w, c)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _as_pil(pixels):
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
