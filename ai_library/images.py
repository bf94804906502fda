"""Image files of any size and mode -> arrays that a model takes."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def image_files(folder) -> list[Path]:
    """The image files in a folder and all below it, by their endings, in the order of their names."""
    return sorted(
        path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_ENDINGS and not path.is_dir()
    )


def read_image(path, image_shape, content_size=None) -> np.ndarray:
    """One image file as (h, w, c) uint8 of the shape asked for; see `fit_image` for how it gets there.

    Of an animation the first frame is read; a photograph is turned upright by its EXIF tag; transparency is laid on
    white. Raises `InputError` where the file is no image that can be read.
    """
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
    except UnidentifiedImageError as error:
        raise InputError("not an image, or of an unknown format") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return fit_image(np.asarray(image.convert("L" if image_shape[2] == 1 else "RGB")), image_shape, content_size)


def fit_image(pixels: np.ndarray, image_shape, content_size=None) -> np.ndarray:
    """Fits pixels (h, w) or (h, w, c) uint8 into an image of `image_shape` without bending what they show.

    An image of other proportions is first padded to them with the median of its border, since stretching would make
    an ellipse of a circle; then it is resized, with antialiasing where it shrinks.

    With a `content_size` the image is brought into the form of MNIST (LeCun et al., Proc. IEEE 86(11), 1998): light
    content on black, so an image with a light border is inverted; and, unless it has the size asked for already, its
    content is cut out, scaled to `content_size` pixels along its longer side, and put with its centre of mass in the
    middle.
    """
    height, width, channels = image_shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if content_size:
        if np.median(_border(pixels)) > 127:
            pixels = 255 - pixels
        if pixels.shape[:2] != (height, width):
            pixels = _centred(pixels, image_shape, content_size)
    rows = max(pixels.shape[0], round(pixels.shape[1] * height / width))
    columns = max(pixels.shape[1], round(pixels.shape[0] * width / height))
    if (rows, columns) != pixels.shape[:2]:
        padded = np.empty((rows, columns, pixels.shape[2]), np.uint8)
        padded[:] = np.median(_border(pixels), axis=0)
        top, left = (rows - pixels.shape[0]) // 2, (columns - pixels.shape[1]) // 2
        padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        pixels = padded
    image = _as_pil(pixels).convert("L" if channels == 1 else "RGB")
    if (rows, columns) != (height, width):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image_shape)


def _centred(pixels, image_shape, content_size):
    """Light content (h, w, c), cut out, scaled, and put on black of `image_shape` by its centre of mass."""
    level = np.asarray(_as_pil(pixels).convert("L"), np.float32)
    ground = np.median(_border(level[..., None]))
    light = level - ground > 0.25 * (level.max() - ground)
    if not light.any():
        return pixels
    (top, bottom), (left, right) = (np.flatnonzero(light.any(axis))[[0, -1]] for axis in (1, 0))
    content = (level[top : bottom + 1, left : right + 1] - ground).clip(0) * (255 / (level.max() - ground))
    scale = content_size / max(content.shape)
    size = [max(1, round(side * scale)) for side in content.shape[::-1]]
    content = np.asarray(Image.fromarray(content.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC))
    height, width, channels = image_shape
    moments = content.sum(1, dtype=float), content.sum(0, dtype=float)
    middle = [(np.arange(len(moment)) + 0.5) @ moment / moment.sum() for moment in moments]
    top = np.clip(round(height / 2 - middle[0]), 0, height - content.shape[0])
    left = np.clip(round(width / 2 - middle[1]), 0, width - content.shape[1])
    canvas = np.zeros((height, width, channels), np.uint8)
    canvas[top : top + content.shape[0], left : left + content.shape[1]] = content[..., None]
    return canvas


def _border(pixels):
    """The pixels (n, c) along the border of (h, w, c)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _as_pil(pixels):
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
