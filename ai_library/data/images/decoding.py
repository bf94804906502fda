"""Decodes image files into pixels of 8 bits, with remarks on what had to be done."""

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
"""Most pixels of an image: more than phones take, except those of 200 million pixels. Decoding takes 4 bytes per pixel,
or 8 with transparency, so that no image needs much more than a gigabyte.
"""

_PHOTOMETRIC = 262
"""The number of TIFF's tag that says whether 0 is white or black."""
ENOUGH_PIXELS = 16_000_000
"""More pixels make no difference in a small image."""

ENDS_EARLY = "JPEG without its last bytes: read as far as it goes"
SIXTEEN_BITS = "of 16 bits: the upper 8 are used"
DEEP_COLOUR = "of 16 bits a channel: the upper 8 are used, which leaves images of 12 bits dark"
SEVERAL_FRAMES = "of several frames or pages: the first is used"
SCALED = "of more than 8 bits: scaled by the range of levels that it uses"

# Formats are recognised by content, not by ending; Pillow opens some JPEGs as MPO. Some of its other formats run
# programs: EPS starts Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF")
_WITH_FRAMES = ("PNG", "GIF", "TIFF", "WEBP", "AVIF")  # a JPEG of Pillow's kind MPO is one picture with its previews
_MAX_BYTES = 8 * MAX_PIXELS  # 4 uncompressed channels of 16 bits; some decoders read whole files
_LARGE_PIXELS = 1_000_000  # more count in the bound of memory, and a JPEG may be decoded at a reduced size
_OVERSAMPLING = 4  # least ratio of the reduced to the needed sides
_MOST_MISSING = 0.1  # largest fraction of missing pixels in a JPEG that ends early
_FEWEST_SCANS = 4  # the same for a progressive JPEG: fewest complete scans
_HEIC = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_OTHERS = {  # by the first bytes of the file
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
_without_warnings = WithoutWarnings("PIL")  # an image is either read or raises an error
_room = Room(MAX_PIXELS)  # pixels of all large images that threads decode at once; a small one waits for nobody


class Decoded(NamedTuple):
    """A decoded image in its own size."""

    pixels: "NDArray[np.uint8]"
    """(h, w) or (h, w, c), upright."""
    size: tuple[int, int]
    """(width, height) in pixels of the upright image."""
    mode: str
    """Pillow's mode, such as "RGB"."""
    remarks: tuple[str, ...]
    """Remarks on the decoding; images with the same remark have the same text."""


def decode(path: str | os.PathLike[str] | bytes, channels: int, needed: int | None = None) -> Decoded:
    """Decodes an image file.

    Only the first frame of an animation is read. A photograph is rotated by its EXIF tag. Integers of more than 8 bits
    are scaled by the range that they use (see `scaled_levels`). With 2 or 4 channels, the last is alpha; with 1 or 3, a
    transparent image is composed with a background on which the drawing is visible. A JPEG that lacks only its last
    bytes is read as far as it goes, as viewers do.

    Args:
        path: The file, or its content. HEIC needs pillow-heif.
        channels: 1 to 4: grey, grey and alpha, RGB, RGBA.
        needed: Needed length of the longer side in pixels. A much larger JPEG is decoded at a half, a quarter or an
            eighth of its size. None: the full size.

    Raises:
        InputError: The file is not a readable image, or has more than `MAX_PIXELS`.
    """
    logging.getLogger("PIL").addHandler(_NO_LOG)  # without a handler it writes to the terminal
    try:
        with _without_warnings:
            return _decoded(path, channels, needed)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(_what_it_is(path)) from error
    except Image.DecompressionBombError as error:  # Pillow's own, higher limit is checked first
        raise InputError(_too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels")) from error
    except Exception as error:  # on a broken file decoders raise nearly anything: struct.error, KeyError, MemoryError
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"cannot be read: {reason}") from error


def decode_pillow(image: Image.Image, channels: int) -> Decoded:
    """Decodes a Pillow image as `decode` would decode its file.

    Raises:
        InputError: Its file, which Pillow loads lazily, cannot be read.
    """
    try:
        pixels, remarks = _pixels(image.copy(), channels, _white_is_zero(image))
    except OSError as error:
        raise InputError(f"cannot be read: {error}") from error
    return Decoded(pixels, _upright(image.size, pixels), image.mode, remarks)


def reduced(image: Image.Image) -> Image.Image:
    """Reduces an image to at most about `ENOUGH_PIXELS`, to save memory in the steps that follow."""
    if (factor := _excess(image)) == 1:
        return image
    if image.mode in ("1", "P") or image.mode.startswith("I;16"):  # modes that cannot be averaged
        colours = "RGBA" if image.has_transparency_data else "RGB"
        image = image.convert({"1": "L", "P": colours}.get(image.mode, "I"))
    return image.reduce(factor)


def scaled_levels(values: np.ndarray) -> tuple["NDArray[np.uint8]", str]:
    """Converts integers (h, w) of more than 8 bits to 8 bits, and returns them with a remark on the conversion.

    If the values use at least half of 0 to 65,535, the upper 8 bits are taken. Otherwise, as for cameras of 12 bits,
    microscopes and integers of unknown range, the lowest value becomes 0 and the highest 255, ignoring single pixels
    such as a sensor's hot ones. The result depends on the image alone, so that training and prediction agree.
    """
    low, high = int(values.min()), int(values.max())
    known = low >= 0 and high <= 65535
    if min(values.shape) > 1:  # a dead or hot pixel has no similar neighbour
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
        if (area := file.width * file.height) > MAX_PIXELS:
            raise InputError(_too_large(f"{file.width:,} x {file.height:,} pixels"))
        with _room.taken(area) if area > _LARGE_PIXELS else contextlib.nullcontext():
            _reduce_jpeg(file, needed)
            deep = any(";16" in str(tile.args) for tile in getattr(file, "tile", ())) and not file.mode.startswith("I")
            cut_off = _load(file)
            if cut_off:
                with _completed(path, needed) as whole:
                    pixels, remarks = _pixels(whole, channels)
                return Decoded(pixels, _upright(size, pixels), mode, (ENDS_EARLY, *remarks))
            pixels, remarks = _pixels(file, channels, _white_is_zero(file))
            frames = _has_several_frames(file)
    more = [remark for remark, applies in ((SEVERAL_FRAMES, frames), (DEEP_COLOUR, deep)) if applies]
    return Decoded(pixels, _upright(size, pixels), mode, (*more, *remarks))


def _upright(size, pixels):
    """The size of an upright image, from that in its file's header and its pixels, which may be fewer."""
    (width, height), (rows, columns) = size, pixels.shape[:2]
    return (width, height) if (width - height) * (columns - rows) >= 0 else (height, width)


def _size(path):
    """The size of a file in bytes."""
    if isinstance(path, bytes):
        return len(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("is not a regular file")  # reading a pipe could block for ever
    return status.st_size


def _stream(path):
    """A file as a stream of bytes, which the caller closes."""
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
    """Decodes a file. Returns whether it is a JPEG that may lack only its end."""
    with silenced() if file.format == "TIFF" else contextlib.nullcontext():
        try:
            file.load()
        except OSError:
            if file.format not in ("JPEG", "MPO"):
                raise
            return True
    return False


def _has_several_frames(file) -> bool:
    """Whether a file, which is decoded already, is an animation or has several pages."""
    try:
        return file.format in _WITH_FRAMES and file.is_animated
    except Exception:  # what follows is damaged, and may be no frame
        return False


@contextlib.contextmanager
def _completed(path, needed) -> Iterator[Image.Image]:
    """A JPEG that lacks its end, as viewers show it: missing pixels continue the last colour.

    Raises `OSError` if more than `_MOST_MISSING` of the pixels are missing, or a progressive one has too few scans.
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
    """The fraction of the pixels of a JPEG without its end that depend on the missing bytes.

    The decoder writes over the inverted image until it meets invalid bytes; pixels that stay inverted are missing.
    """
    wanted = np.asarray(whole)
    with opened(b"\x5a\xa5" * 512) as file:
        file.im = Image.frombytes(file.mode, file.size, (~wanted).tobytes()).im
        with contextlib.suppress(OSError):
            file.load()
        found = np.asarray(Image.Image._new(file, file.im))
    return float(np.mean((found != wanted).reshape(*wanted.shape[:2], -1).any(axis=2)))


def _reduce_jpeg(file, needed):
    """Lets the decoder reduce the image while decoding, which only JPEG supports."""
    factor = _excess(file)
    if needed and file.width * file.height > _LARGE_PIXELS:
        factor = max(factor, max(file.size) // (_OVERSAMPLING * needed))
    if factor > 1:
        file.draft(None, (file.width // factor, file.height // factor))


def _white_is_zero(image):
    """Whether an image is a TIFF of 16 bits whose levels are inverted. Pillow inverts those of 8 bits itself."""
    return image.mode == "I;16" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _pixels(image, channels, inverted=False):
    """The pixels (h, w) or (h, w, c) uint8 of a Pillow image with `channels`, and remarks.

    The image is rotated in place by its EXIF tag. If its levels of 16 bits are `inverted`, 0 is white.
    """
    remarks = []
    image = reduced(image)
    if image.mode == "F":
        low, high = (float(level) for level in image.getextrema())  # pyright: ignore[reportArgumentType]
        raise InputError(f"has values from {low:g} to {high:g}, which have no known scale; save it with 8 bits")
    with contextlib.suppress(Exception):  # a damaged tag is ignored
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        values = (1 << 16) - 1 - np.asarray(image) if inverted else np.asarray(image)
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
    """Opens a HEIC file, the format of Apple's and other phones."""
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
    """The message about a file that Pillow does not recognise."""
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
    """The integer by which to divide an image's sides so that it has at most about `ENOUGH_PIXELS`."""
    return math.ceil(math.sqrt(image.width * image.height / ENOUGH_PIXELS))
