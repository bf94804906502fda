"""Image files of any size and mode -> arrays that a model takes."""

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def read_image(path, image_shape) -> np.ndarray:
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
    return fit_image(np.asarray(image.convert("L" if image_shape[2] == 1 else "RGB")), image_shape)


def fit_image(pixels: np.ndarray, image_shape) -> np.ndarray:
    """Fits pixels (h, w) or (h, w, c) uint8 into an image of `image_shape` without bending what they show.

    An image of other proportions is first padded to them with the median of its border, since stretching would make
    an ellipse of a circle; then it is resized, with antialiasing where it shrinks.
    """
    height, width, channels = image_shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    rows = max(pixels.shape[0], round(pixels.shape[1] * height / width))
    columns = max(pixels.shape[1], round(pixels.shape[0] * width / height))
    if (rows, columns) != pixels.shape[:2]:
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        padded = np.empty((rows, columns, pixels.shape[2]), np.uint8)
        padded[:] = np.median(border, axis=0)
        top, left = (rows - pixels.shape[0]) // 2, (columns - pixels.shape[1]) // 2
        padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        pixels = padded
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    if (rows, columns) != (height, width):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image_shape)
