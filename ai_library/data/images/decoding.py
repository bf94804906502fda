"""Decodes image files of any kind into pixels of 8 bits, and tells what had to be done for it."""

import contextlib
import io
import logging
import math
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from ...errors import InputError
from ...runtime.terminal import WithoutWarnings, silenced
from ...runtime.threads import Room
from .grounds import MODES, on_ground

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 128_000_000
"""The largest image that is read: above any phone's photograph but one of 200 million pixels. Decoding takes 4 bytes a
pixel, transparency twice that, so that no image needs much more than a gigabyte.
"""

ENOUGH_PIXELS = 16_000_000
"""More show nothing in a small image."""

ENDS_EARLY = "JPEG without its last bytes: read as far as it goes"
SIXTEEN_BITS = "of 16 bits: the upper 8 are used"
DEEP_COLOUR = "of 16 bits a channel: the upper 8 are used, which leaves images of 12 bits dark"
SCALED = "of more than 8 bits: scaled by the range of levels that it uses"

# By content, whatever the ending says; Pillow takes MPO for JPEG. Of its other formats some run programs: EPS starts
# Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF")
_MAX_BYTES = 8 * MAX_PIXELS  # 16 bits in 4 channels, not compressed; some decoders read a file whole
_LARGE_PIXELS = 1_000_000  # a JPEG of more may be decoded at a reduced size,
_OVERSAMPLING = 4  # of which the sides stay so many times as long as needed
_MOST_MISSING = 0.1  # of the pixels of a JPEG that ends early,
_FEWEST_SCANS = 4  # and those that a progressive one has
_HEIC = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_OTHERS = {  # by how their files begin
    b"%PDF": "a PDF document",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document, such as an SVG drawing",
    b"8BPS": "a Photoshop document",
    b"PK\x03\x04": "a zip archive",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"ftyp": "a video, or an image of its kind of container",
}
_NO_LOG = logging.NullHandler()
_without_warnings = WithoutWarnings("PIL")  # an image is either read or an error
_room = Room(MAX_PIXELS)  # of the images that threads decode at once


class Decoded(NamedTuple):
    """An image as it was found."""

    pixels: "NDArray[np.uint8]"
    """(h, w) or (h, w, c), upright."""
    size: tuple[int, int]
    """(width, height) in pixels that its file says."""
    mode: str
    """Pillow's name of its colours and depth, such as "RGB"."""
    remarks: tuple[str, ...]
    """What had to be done to read it, each a sentence that others share."""


def decode(path: str | os.PathLike[str] | bytes, channels: int, needed: int | None = None) -> Decoded:
    """The pixels of an image file.

    Of an animation the first frame is read; a photograph is turned upright by its EXIF tag. Integers of more than 8
    bits are scaled by the range that they use (see `scaled_levels`). Transparency is kept as the last of 2 or 4
    channels; for 1 or 3 it is laid on a ground that leaves the drawing visible. A JPEG of which only the last bytes are
    missing is read as viewers read it.

    Args:
        path: The file, or its content. HEIC is read where pillow-heif is installed.
        channels: 1 to 4: grey, grey and opacity, colour, colour and opacity.
        needed: Pixels of the longer side that are asked for: a large JPEG that has far more is decoded at a half, a
            quarter or an eighth of its size.

    Raises:
        InputError: The file is no image that can be read, or has more than `MAX_PIXELS`.
    """
    logging.getLogger("PIL").addHandler(_NO_LOG)  # which without any handler writes to the terminal
    try:
        with _without_warnings:
            return _decoded(path, channels, needed)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(_what_it_is(path)) from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, far above ours, before it tells the size
        raise InputError(_too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels")) from error
    except Exception as error:  # on a broken file decoders raise nearly anything: struct.error, KeyError, MemoryError
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"cannot be read: {reason}") from error


def decode_pillow(image: Image.Image, channels: int) -> Decoded:
    """A Pillow image as `decode` gives its file.

    Raises:
        InputError: Its file, of which Pillow first reads only the beginning, cannot be read.
    """
    try:
        pixels, remarks = _pixels(image.copy(), channels)
    except OSError as error:
        raise InputError(f"cannot be read: {error}") from error
    return Decoded(pixels, image.size, image.mode, remarks)


def reduced(image: Image.Image) -> Image.Image:
    """An image of about `ENOUGH_PIXELS` at most, so that what is done with it needs little memory."""
    if (factor := _excess(image)) == 1:
        return image
    if image.mode in ("1", "P") or image.mode.startswith("I;16"):  # which have no means
        colours = "RGBA" if image.has_transparency_data else "RGB"
        image = image.convert({"1": "L", "P": colours}.get(image.mode, "I"))
    return image.reduce(factor)


def scaled_levels(values: np.ndarray) -> tuple["NDArray[np.uint8]", str]:
    """Integers (h, w) of more than 8 bits as ones of 8 bits, and a remark on how that was done.

    Of values from 0 to 65,535 that use half of this range or more, the upper 8 bits are taken. Cameras of 12 bits and
    microscopes use less, and other integers have no range that is known: there the lowest value becomes 0 and the
    highest 255, but for single pixels, such as a sensor's hot ones. It is a function of the image alone, so that
    training and prediction do the same.
    """
    low, high = int(values.min()), int(values.max())
    known = low >= 0 and high <= 65535
    if min(values.shape) > 1:  # a dead or hot pixel has no neighbour like it, the smallest thing that is shown has
        neighbours = (values[:, :-1], values[:, 1:]), (values[:-1], values[1:])
        inner_low = min(int(np.maximum(*pair).min()) for pair in neighbours)
        inner_high = max(int(np.minimum(*pair).max()) for pair in neighbours)
        low, high = (inner_low, inner_high) if inner_low < inner_high else (low, high)
    if known and (high - low >= 1 << 15 or high == low):
        return (values >> 8).astype(np.uint8), SIXTEEN_BITS
    if low == high:
        return np.zeros(values.shape, np.uint8), SCALED
    scaled = (np.clip(values, low, high).astype(float) - low) * (255 / (high - low))
    return np.rint(scaled).astype(np.uint8), SCALED


def _decoded(path, channels, needed):
    if (size := _size(path)) > _MAX_BYTES:
        raise InputError(_too_large(f"{size:,} bytes"))
    with _opened(path) as file:
        size, mode = file.size, file.mode
        if file.width * file.height > MAX_PIXELS:
            raise InputError(_too_large(f"{file.width:,} x {file.height:,} pixels"))
        with _room.taken(file.width * file.height):
            _reduce_jpeg(file, needed)
            deep = any(";16" in str(tile.args) for tile in getattr(file, "tile", ())) and not file.mode.startswith("I")
            cut_off = _load(file)
            if cut_off:
                with _completed(path, needed) as whole:
                    pixels, remarks = _pixels(whole, channels)
                return Decoded(pixels, size, mode, (ENDS_EARLY, *remarks))
            pixels, remarks = _pixels(file, channels)
    return Decoded(pixels, size, mode, (DEEP_COLOUR, *remarks) if deep else remarks)


def _size(path):
    """The number of bytes of a file."""
    if isinstance(path, bytes):
        return len(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("is no regular file")  # and a pipe would keep its reader waiting for ever
    return status.st_size


def _stream(path):
    """A file as a stream of bytes, for whoever closes it."""
    return io.BytesIO(path) if isinstance(path, bytes) else open(path, "rb")


@contextlib.contextmanager
def _opened(path) -> Iterator[Image.Image]:
    try:
        with Image.open(_stream(path) if isinstance(path, bytes) else path, formats=_FORMATS) as file:
            yield file
    except UnidentifiedImageError:
        if _beginning(path)[4:12] not in _HEIC:
            raise
        with _heic(path) as file:
            yield file


def _load(file) -> bool:
    """Decodes a file; returns whether it is a JPEG that may only lack its end."""
    with silenced() if file.format == "TIFF" else contextlib.nullcontext():
        try:
            file.load()
        except OSError:
            if file.format not in ("JPEG", "MPO"):
                raise
            return True
    return False


@contextlib.contextmanager
def _completed(path, needed) -> Iterator[Image.Image]:
    """A JPEG that lacks its end, as viewers show it: what is missing goes on in the last colour.

    Raises `OSError` where more is missing than a few of its pixels, or of a progressive one than the last scans.
    """
    with _stream(path) as stream:
        content = stream.read(MAX_PIXELS).rstrip(b"\xff")

    def opened(end):
        file = Image.open(io.BytesIO(content + end), formats=("JPEG",))
        _reduce_jpeg(file, needed)
        return file

    if content.endswith(b"\xff\xd9"):
        raise OSError("broken data stream when reading image file")
    with opened(b"\xff\xd9") as whole:
        whole.load()
        if "progressive" in whole.info:
            if (scans := content.count(b"\xff\xda")) < _FEWEST_SCANS:
                raise OSError(f"the file ends too early: it has {scans} scans of a progressive JPEG")
        elif (missing := _missing(whole, opened)) > _MOST_MISSING:
            raise OSError(f"the file ends too early: {missing:.0%} of its pixels are missing")
        yield whole


def _missing(whole, opened) -> float:
    """Which share of the pixels of a JPEG that lacks its end depends on the bytes that are missing.

    The decoder writes into an image that is nowhere like the one that it should write, until it finds bytes that belong
    to no image.
    """
    wanted = np.asarray(whole)
    with opened(b"\x5a\xa5" * 512) as file:
        file.im = Image.frombytes(file.mode, file.size, (~wanted).tobytes()).im
        with contextlib.suppress(OSError):
            file.load()
        found = np.asarray(Image.Image._new(file, file.im))
    return float(np.mean((found != wanted).reshape(*wanted.shape[:2], -1).any(axis=2)))


def _reduce_jpeg(file, needed):
    """Lets the decoder leave undecoded what is not needed, which only JPEG's can."""
    factor = _excess(file)
    if needed and file.width * file.height > _LARGE_PIXELS:
        factor = max(factor, max(file.size) // (_OVERSAMPLING * needed))
    if factor > 1:
        file.draft(None, (file.width // factor, file.height // factor))


def _pixels(image, channels):
    """The pixels (h, w) or (h, w, c) uint8 of a Pillow image in so many channels, and remarks.

    The image is turned upright in place.
    """
    remarks = []
    image = reduced(image)
    if image.mode == "F":
        low, high = (float(level) for level in image.getextrema())  # pyright: ignore[reportArgumentType]
        raise InputError(f"has values from {low:g} to {high:g}, which have no known scale; save it with 8 bits")
    with contextlib.suppress(Exception):  # a damaged tag turns nothing
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode != "I" or values.min() < 0 or values.max() > 255:
            values, remark = scaled_levels(values)
            remarks.append(remark)
        image = Image.fromarray(values.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels in (1, 3):
            image, remark = on_ground(image, grey=channels == 1)
            remarks += [remark] if remark else []
    return np.asarray(image.convert(MODES[channels])), tuple(remarks)


def _heic(path) -> Image.Image:
    """A file in the format of Apple's and other phones."""
    try:
        from pillow_heif import HeifImageFile  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            "is a HEIC image, as phones take them, which needs the package pillow-heif: install 'ai-library[heic]', or "
            "save it as JPEG"
        ) from error
    return HeifImageFile(_stream(path) if isinstance(path, bytes) else path)


def _beginning(path) -> bytes:
    with _stream(path) as stream:
        return stream.read(64)


def _what_it_is(path) -> str:
    """What to say of a file that Pillow does not know."""
    beginning = _beginning(path)
    if not beginning:
        return "not an image: it is empty"
    if beginning[4:8] == b"ftyp" and beginning[8:12] in (b"avif", b"avis") and not features.check("avif"):
        return "is an AVIF image, which the installed Pillow was built without: save it as JPEG or PNG"
    for magic, name in _OTHERS.items():
        if beginning[: len(magic)].lower() == magic.lower() or (magic == b"ftyp" and beginning[4:8] == magic):
            return f"not an image of a format that is read: {name}"
    return "not an image, or of an unknown format"


def _too_large(size):
    return f"is too large: {size}, and at most {MAX_PIXELS:,} pixels are read; save it smaller"


def _excess(image):
    """By which whole number to divide an image's sides, so that it has about `ENOUGH_PIXELS` at most."""
    return math.ceil(math.sqrt(image.width * image.height / ENOUGH_PIXELS))
