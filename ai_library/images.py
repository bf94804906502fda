"""Image files of any size and mode -> arrays that a model takes."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def image_files(folder) -> list[Path]:
    """The image files in a folder and all below it, by their endings, in the order of their names.

    Names that begin with a full stop are passed over: programs leave such files for themselves.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name) for name in names if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")
        ]
    return sorted(found)


def read_image(path, image_shape, content_size=None) -> np.ndarray:
    """One image file as (h, w, c) uint8 of the shape asked for; see `fit_image` for how it gets there.

    Of an animation the first frame is read; a photograph is turned upright by its EXIF tag; transparency is laid on
    white; of 16 bits the upper 8 are used. Raises `InputError` where the file is no image that can be read.
    """
    try:
        with Image.open(path) as file:
            file.load()
            image = _eight_bits(ImageOps.exif_transpose(file))
    except UnidentifiedImageError as error:
        raise InputError("not an image, or of an unknown format") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return fit_image(np.asarray(image.convert("L" if image_shape[2] == 1 else "RGB")), image_shape, content_size)


def fit_image(pixels: np.ndarray, image_shape, content_size=None) -> np.ndarray:
    """Fits pixels (h, w) or (h, w, c) uint8 into an image of `image_shape` without bending what they show.

    The image is resized until it just fits, with antialiasing where it shrinks. One of other proportions is centred and
    surrounded by the median of its border, since stretching would make an ellipse of a circle.

    A `content_size` says that the model knows light content on black, all of one size: an image with a light border is
    then inverted; and, unless it has the size asked for already, its content is cut out, scaled to `content_size`
    pixels along its longer side, and put with its centre of mass in the middle. (MNIST was made so: LeCun et al.,
    Proc. IEEE 86(11), 1998.)
    """
    height, width, channels = image_shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if content_size and np.median(_border(pixels)) > 127:
        pixels = 255 - pixels
    if content_size and pixels.shape[:2] != (height, width):
        pixels = _centred(pixels, image_shape, content_size)
    image = _as_pil(pixels).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        scale = min(width / image.width, height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        surroundings = np.median(_border(np.asarray(image).reshape(image.height, image.width, -1)), axis=0)
        canvas = Image.new(image.mode, (width, height), tuple(int(level) for level in surroundings))
        corner = (width - size[0]) // 2, (height - size[1]) // 2
        canvas.paste(image.resize(size, Image.Resampling.BICUBIC), corner)
        image = canvas
    return np.asarray(image).reshape(image_shape)


def _eight_bits(image):
    """Grey images of more than 8 bits, which Pillow would cut off at 255, as ones of 8 bits."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > 65535:
        raise ValueError(f"its values from {low:g} to {high:g} have no known scale; save it with 8 bits")
    sixteen = image.mode.startswith("I;16") or high > 255
    return Image.fromarray((values >> (8 if sixteen else 0)).astype(np.uint8))


def _centred(pixels, image_shape, content_size):
    """Light content (h, w, c), cut out, scaled, and put on black of `image_shape` by its centre of mass."""
    height, width, channels = image_shape
    canvas = np.zeros((height, width, channels), np.uint8)
    level = np.asarray(_as_pil(pixels).convert("L"), np.float32)
    ground = np.median(_border(level[..., None]))
    light = level - ground > 0.25 * (level.max() - ground)
    if not light.any():
        return canvas
    (top, bottom), (left, right) = (np.flatnonzero(light.any(axis))[[0, -1]] for axis in (1, 0))
    content = (level[top : bottom + 1, left : right + 1] - ground).clip(0) * (255 / (level.max() - ground))
    scale = content_size / max(content.shape)
    size = [max(1, round(side * scale)) for side in content.shape[::-1]]
    content = np.asarray(Image.fromarray(content.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC))
    if not content.any():  # specks that vanish where the image shrinks
        return canvas
    moments = content.sum(1, dtype=float), content.sum(0, dtype=float)
    middle = [(np.arange(len(moment)) + 0.5) @ moment / moment.sum() for moment in moments]
    top = np.clip(round(height / 2 - middle[0]), 0, height - content.shape[0])
    left = np.clip(round(width / 2 - middle[1]), 0, width - content.shape[1])
    canvas[top : top + content.shape[0], left : left + content.shape[1]] = content[..., None]
    return canvas


def _border(pixels):
    """The pixels (n, c) along the border of (h, w, c)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _as_pil(pixels):
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
