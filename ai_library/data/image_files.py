"""Reads image files of any size and mode as arrays of the shape that a model takes."""

import contextlib
import heapq
import itertools
import logging
import math
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 128_000_000
"""The largest image that is read: above any phone's photograph but one of 200 million pixels. Decoding takes 4 bytes a
pixel, transparency twice that, so that no image needs much more than a gigabyte.
"""

# By content, whatever the ending says; Pillow takes MPO for JPEG. Of its other formats some run programs: EPS starts
# Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_MAX_BYTES = 8 * MAX_PIXELS  # 16 bits in 4 channels, not compressed; some decoders read a file whole
_NAMES = 1 << 14  # of a folder, sorted at a time
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels
_ENOUGH_PIXELS = 16_000_000  # more show nothing in a small image
_NO_LOG = logging.NullHandler()


def image_files(folder: str | Path) -> Iterator[Path]:
    """The image files in a folder and all below it, by their endings: those of a folder in the order of their names,
    then those of its sub-folders in that order. Holds the names of one folder at a time.

    Names that begin with a full stop are passed over: programs leave such files for themselves. Links are followed.
    Raises `InputError` where a folder can't be listed, whose images would otherwise be missing without a word, and
    where links lead to one folder twice, perhaps without end.
    """
    waiting, listed = [os.fspath(folder)], set()
    while waiting:
        place, folders = waiting.pop(), []
        with listing(place):
            status = os.stat(place)
        if (status.st_dev, status.st_ino) in listed:
            raise InputError(f"{place} leads to a folder that is there already: remove the link")
        listed.add((status.st_dev, status.st_ino))
        for name in _names(place):
            if os.path.isdir(os.path.join(place, name)):
                folders.append(os.path.join(place, name))
            elif name.lower().endswith(IMAGE_ENDINGS):
                yield Path(place, name)
        waiting += reversed(folders)


def _names(place):
    """The names in a folder in order, held as the bytes that they are: a sixth of what a list of them takes."""
    parts = []
    with listing(place), os.scandir(place) as entries:
        names = (os.fsencode(entry.name) for entry in entries if not entry.name.startswith("."))
        while part := sorted(itertools.islice(names, _NAMES)):
            parts.append(b"\0".join(part))
    streams = [(found.group() for found in re.finditer(rb"[^\0]+", part)) for part in parts]
    return map(os.fsdecode, heapq.merge(*streams))


@contextlib.contextmanager
def listing(place: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be listed: {error.strerror}; make it readable or remove it") from error


def read_image(
    path: str | os.PathLike[str], image_shape: Sequence[int], content_size: int | None = None
) -> "NDArray[np.uint8]":
    """One image file as (h, w, c) uint8 of the shape asked for; see `fit_image` for how it gets there.

    Of an animation the first frame is read; a photograph is turned upright by its EXIF tag; of 16 bits the upper 8 are
    used. Transparency is kept as the last of 2 or 4 channels; for 1 or 3 it is laid on white.

    Raises:
        InputError: The file is no image that can be read, or has more than `MAX_PIXELS`.
    """
    logging.getLogger("PIL").addHandler(_NO_LOG)  # which without any handler writes to the terminal
    try:
        with warnings.catch_warnings(action="ignore"):  # an image is either read or an error
            pixels = _read(path, image_shape[2])
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError("not an image, or of an unknown format") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, far above ours, before it tells the size
        raise InputError(_too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels")) from error
    except Exception as error:  # on a broken file decoders raise nearly anything: struct.error, KeyError, MemoryError
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"cannot be read: {reason}") from error
    return fit_image(pixels, image_shape, content_size)


def read_pillow(image: Image.Image, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """A Pillow image as (h, w, c) uint8 of the shape asked for: what `read_image` gives for its file.

    Raises:
        InputError: Its file, of which Pillow first reads only the beginning, cannot be read.
    """
    try:
        pixels = _pixels(image.copy(), image_shape[2])
    except OSError as error:
        raise InputError(f"cannot be read: {error}") from error
    return fit_image(pixels, image_shape, content_size)


def fit_image(pixels: np.ndarray, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """Fits pixels (h, w) or (h, w, c) uint8 of 1 to 4 channels into an image of `image_shape`, without bending it.

    1 channel is grey, 2 are grey and its opacity, 3 colour, 4 colour and its opacity. What is transparent is laid on
    white where the image asked for has no opacity.

    The image is resized until it just fits, with antialiasing where it shrinks. One of other proportions is centred and
    surrounded by the median of its border, since stretching would make an ellipse of a circle.

    A `content_size` says that the model knows light content on black, all of one size: an image with a light border is
    then inverted; and, unless it has the size asked for already, its content is cut out, scaled to `content_size`
    pixels along its longer side, and put with its centre of mass in the middle. (MNIST was made so: LeCun et al.,
    Proc. IEEE 86(11), 1998.)
    """
    height, width, channels = image_shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[0] * pixels.shape[1] > 2 * _ENOUGH_PIXELS:  # an array: a file's are reduced when it is read
        reduced = np.asarray(_reduced(_as_pil(pixels)))
        pixels = reduced.reshape(*reduced.shape[:2], -1)
    if pixels.shape[2] in (2, 4) and (content_size or channels in (1, 3)):
        pixels = np.asarray(_on_white(_as_pil(pixels)).convert("RGB"))
    if content_size and np.median(_border(pixels)) > 127:
        pixels = 255 - pixels
    if content_size and pixels.shape[:2] != (height, width):
        pixels = _centred(pixels, image_shape, content_size)
    image = _as_pil(pixels).convert(_MODES[channels])
    if image.size != (width, height):
        scale = min(width / image.width, height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        surroundings = np.median(_border(np.asarray(image).reshape(image.height, image.width, -1)), axis=0)
        canvas = Image.new(image.mode, (width, height), tuple(int(level) for level in surroundings))
        corner = (width - size[0]) // 2, (height - size[1]) // 2
        canvas.paste(image.resize(size, Image.Resampling.BICUBIC), corner)
        image = canvas
    return np.asarray(image).reshape(image_shape)


def _read(path, channels):
    """The pixels (h, w) or (h, w, c) uint8 of a file in so many channels."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("is no regular file")  # and a pipe would keep its reader waiting for ever
    if status.st_size > _MAX_BYTES:
        raise InputError(_too_large(f"{status.st_size:,} bytes"))
    with Image.open(path, formats=_FORMATS) as file:
        if file.width * file.height > MAX_PIXELS:
            raise InputError(_too_large(f"{file.width:,} x {file.height:,} pixels"))
        if (factor := _excess(file)) > 1:  # JPEG can leave the rest undecoded
            file.draft(None, (file.width // factor, file.height // factor))
        with _silenced() if file.format == "TIFF" else contextlib.nullcontext():
            file.load()
        return _pixels(file, channels)


def _pixels(image, channels):
    """The pixels (h, w) or (h, w, c) uint8 of a Pillow image in so many channels; it is turned upright in place."""
    image = _eight_bits(_reduced(image))
    with contextlib.suppress(Exception):  # a damaged tag turns nothing
        ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        image = _on_white(image) if channels in (1, 3) else image.convert("RGBA")
    return np.asarray(image.convert(_MODES[channels]))


def _on_white(image):
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


@contextlib.contextmanager
def _silenced():
    """Keeps from the terminal what libtiff, past Python, writes there about a broken file."""
    terminal = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _too_large(size):
    return f"is too large: {size}, and at most {MAX_PIXELS:,} pixels are read; save it smaller"


def _excess(image):
    """By which whole number to divide an image's sides, so that it has about `_ENOUGH_PIXELS` at most."""
    return math.ceil(math.sqrt(image.width * image.height / _ENOUGH_PIXELS))


def _reduced(image):
    """An image of about `_ENOUGH_PIXELS` at most, so that what is done with it needs little memory."""
    if (factor := _excess(image)) == 1:
        return image
    if image.mode in ("1", "P") or image.mode.startswith("I;16"):  # which have no means
        colours = "RGBA" if image.has_transparency_data else "RGB"
        image = image.convert({"1": "L", "P": colours}.get(image.mode, "I"))
    return image.reduce(factor)


def _eight_bits(image):
    """Grey images of more than 8 bits, which Pillow would cut off at 255, as ones of 8 bits."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > 65535:
        raise InputError(f"has values from {low:g} to {high:g}, which have no known scale; save it with 8 bits")
    sixteen = image.mode.startswith("I;16") or high > 255
    return Image.fromarray((values >> (8 if sixteen else 0)).astype(np.uint8))


def _centred(pixels, image_shape, content_size):
    """Light content (h, w, c), cut out, scaled, and put by its centre of mass on black (h, w, 1) of `image_shape`."""
    height, width, _ = image_shape
    canvas = np.zeros((height, width, 1), np.uint8)
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
