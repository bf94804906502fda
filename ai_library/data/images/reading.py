"""Reads many image files in threads, in order, and reports all errors at once."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ...errors import InputError
from ...files.text import counted
from ...runtime.threads import map_in_threads
from .decoding import Decoded, decode, decode_pillow
from .fitting import fit_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_NAMED = 50  # broken files in a message
_TOGETHER = 8  # files that a thread reads one after another
_SMALL = 2**13  # bytes; of such a file, opening takes more time than decoding
_DETAIL = 256  # pixels: content may be a small part of a photograph

Path = str | os.PathLike[str]
Progress = Callable[[Iterable["ReadFile"], int], Iterable["ReadFile"]]
"""A function of (items, their number) that yields the items and shows progress."""


class ReadFile(NamedTuple):
    """The result of reading an image file."""

    image: "NDArray[np.uint8] | None"
    """(h, w, c) uint8 of the requested shape; None if the file cannot be read."""
    size: tuple[int, int] = (0, 0)
    """(width, height) in pixels of the upright image, before fitting."""
    mode: str = ""
    """Pillow's mode, such as "RGB"."""
    remarks: tuple[str, ...] = ()
    """Remarks on the reading; files with the same remark have the same text."""
    error: str = ""
    """Why it cannot be read."""


class UnreadableImagesError(InputError):
    """Some image files cannot be read.

    Args:
        faults: The reasons, by path.
        total: Number of all files.
    """

    def __init__(self, faults: dict[str, str], total: int):
        by_reason: dict[str, list[str]] = {}
        for path, reason in list(faults.items())[:_MOST_NAMED]:
            by_reason.setdefault(reason, []).append(path)
        told = "; ".join(f"{', '.join(paths)} {reason}" for reason, paths in by_reason.items())
        more = f"; and {len(faults) - _MOST_NAMED:,} more" if len(faults) > _MOST_NAMED else ""
        ways = ", or leave them out by skip_broken=True" if len(faults) < total else ""
        super().__init__(
            f"{len(faults):,} of {total:,} images cannot be used: {told}{more}: remove or replace them{ways}"
        )
        self.faults: dict[str, str] = faults


@dataclass(frozen=True)
class ReadFiles:
    """The result of reading many files."""

    images: "NDArray[np.uint8]"
    """(n, h, w, c) uint8, the readable images, in order."""
    kept: "NDArray[np.intp]"
    """(n,) int, their indices among all files."""
    sizes: list[tuple[int, int]]
    """(width, height) of each upright image in pixels, before fitting."""
    modes: list[str]
    """Pillow's mode of each."""
    remarks: Counter[str] = field(default_factory=Counter)
    """Remarks on the reading, each with the number of images."""
    faults: dict[str, str] = field(default_factory=dict)
    """The reasons why other files cannot be read, by path."""

    def told(self) -> Iterator[str]:
        """Yields lines with the remarks on the reading, and on the images left out."""
        yield from told(self.remarks)
        if self.faults:
            path, reason = next(iter(self.faults.items()))
            yield f"{counted(len(self.faults), 'image')}: left out, cannot be read; the first: {path} {reason}"


def told(remarks: Mapping[str, int]) -> Iterator[str]:
    """Yields a line for each remark on the reading, with the number of images."""
    for remark, count in sorted(remarks.items()):
        yield f"{counted(count, 'image')}: {remark}"


def read_image(path: Path, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """Reads an image file as (h, w, c) uint8 of `image_shape`, by `decode` and `fit_image`.

    Raises:
        InputError: The file is not a readable image, or is too large.
    """
    return fit_image(_decoded(path, image_shape, content_size).pixels, image_shape, content_size)


def read_pillow(image: Image.Image, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """Converts a Pillow image to (h, w, c) uint8 of `image_shape`, as `read_image` does for its file.

    Raises:
        InputError: Its file, which Pillow loads lazily, cannot be read.
    """
    return fit_image(decode_pillow(image, _channels(image_shape, content_size)).pixels, image_shape, content_size)


def read_file(path: Path | bytes, image_shape: Sequence[int], content_size: int | None = None) -> ReadFile:
    """Reads an image file, or its content, like `read_image`, and returns errors and remarks with it."""
    try:
        pixels, size, mode, remarks = _decoded(path, image_shape, content_size)
        return ReadFile(fit_image(pixels, image_shape, content_size), size, mode, remarks)
    except InputError as error:
        return ReadFile(None, error=str(error))


def read_files(
    paths: Iterable[Path], image_shape: Sequence[int], content_size: int | None = None
) -> Iterator[ReadFile]:
    """Yields the result for each file, in order. It reads all but small ones with one thread per core, a few ahead."""
    read = partial(read_file, image_shape=image_shape, content_size=content_size)
    return map_in_threads(read, paths, _TOGETHER, _is_small)


def read_all(
    paths: Sequence[Path],
    image_shape: Sequence[int],
    content_size: int | None = None,
    *,
    skip_broken: bool = False,
    progress: Progress | None = None,
    name_of: Callable[[Path], str] = str,
) -> ReadFiles:
    """Reads many files into one array. It needs little memory beyond the array.

    Args:
        paths: The files.
        image_shape: (h, w, c) to which each image is fitted.
        content_size: See `fit_image`.
        skip_broken: Whether to leave out unreadable files, instead of raising an error.
        progress: Function of (items, their number) that yields the items and shows progress.
        name_of: Function from a path to the file's name in messages.

    Raises:
        UnreadableImagesError: Some files are unreadable and `skip_broken` is not set, or all are. It names them.
        InputError: The array would need more memory than is free.
    """
    try:
        images = np.empty((len(paths), *image_shape), np.uint8)
    except MemoryError as error:
        size = len(paths) * math.prod(image_shape)
        raise InputError(
            f"{len(paths):,} images of {' x '.join(map(str, image_shape))} take {size:,} bytes, more memory than is "
            "free: choose a smaller image_size"
        ) from error
    kept, sizes, modes, remarks, faults = [], [], [], Counter(), {}
    found = read_files(paths, image_shape, content_size)
    for index, read in enumerate(progress(found, len(paths)) if progress else found):
        if read.image is None:
            faults[name_of(paths[index])] = read.error
            continue
        images[len(kept)] = read.image
        kept.append(index)
        sizes.append(read.size)
        modes.append(read.mode)
        remarks.update(read.remarks)
    if faults and not (skip_broken and kept):
        raise UnreadableImagesError(faults, len(paths))
    return ReadFiles(images[: len(kept)], np.array(kept, np.intp), sizes, modes, remarks, faults)


def _is_small(path):
    try:
        return os.stat(path).st_size <= _SMALL
    except OSError:
        return False


def _decoded(path, image_shape, content_size) -> Decoded:
    needed = max(*image_shape[:2], _DETAIL if content_size else 0)
    return decode(path, _channels(image_shape, content_size), needed)


def _channels(image_shape, content_size):
    """Number of channels to decode: in colour if a `content_size` is set, as ink is separated from paper by colour."""
    return 3 if content_size and image_shape[2] == 1 else image_shape[2]
