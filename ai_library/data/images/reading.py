"""Reads many image files: in threads, in their order, with all that is wrong with them told at once."""

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

_MOST_NAMED = 50  # of the broken files, in a message
_TOGETHER = 8  # files that a thread reads one after another
_DETAIL = 256  # pixels: content that is cut out of a photograph may be a small part of it

Path = str | os.PathLike[str]
Progress = Callable[[Iterable["ReadFile"], int], Iterable["ReadFile"]]
"""Passes on what is read of so many files, and shows how far it is."""


class ReadFile(NamedTuple):
    """What became of an image file."""

    image: "NDArray[np.uint8] | None"
    """(h, w, c) uint8 of the shape asked for; None where the file cannot be read."""
    size: tuple[int, int] = (0, 0)
    """(width, height) in pixels as the file says."""
    mode: str = ""
    """Pillow's name of its colours and depth, such as "RGB"."""
    remarks: tuple[str, ...] = ()
    """What had to be done to read it; files of which the same was done have the same words."""
    error: str = ""
    """Why it cannot be read."""


class UnreadableImagesError(InputError):
    """Some image files cannot be read.

    Args:
        faults: Why, by their paths.
        total: How many files there are.
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
    """What was read of many files."""

    images: "NDArray[np.uint8]"
    """(n, h, w, c) of those that could be read, in their order."""
    kept: "NDArray[np.intp]"
    """(n,) which of all files they are."""
    sizes: list[tuple[int, int]]
    """(width, height) of each of the n, as its file says."""
    modes: list[str]
    """Pillow's name of the colours and depth of each of the n."""
    remarks: Counter[str] = field(default_factory=Counter)
    """What had to be done to read them, and for how many."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why the others cannot be read, by their paths."""

    def told(self) -> Iterator[str]:
        """Lines on what was done to read the images, and on those that are left out."""
        yield from told(self.remarks)
        if self.faults:
            path, reason = next(iter(self.faults.items()))
            yield f"{counted(len(self.faults), 'image')}: left out, cannot be read; the first: {path} {reason}"


def told(remarks: Mapping[str, int]) -> Iterator[str]:
    """A line for each thing that had to be done to read images, and to how many."""
    for remark, count in sorted(remarks.items()):
        yield f"{counted(count, 'image')}: {remark}"


def read_image(path: Path, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """One image file as (h, w, c) uint8 of the shape asked for: see `decode` and `fit_image` for how it gets there.

    Raises:
        InputError: The file is no image that can be read, or is too large.
    """
    return fit_image(_decoded(path, image_shape, content_size).pixels, image_shape, content_size)


def read_pillow(image: Image.Image, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """A Pillow image as (h, w, c) uint8 of the shape asked for: what `read_image` gives for its file.

    Raises:
        InputError: Its file, of which Pillow first reads only the beginning, cannot be read.
    """
    return fit_image(decode_pillow(image, _channels(image_shape, content_size)).pixels, image_shape, content_size)


def read_file(path: Path | bytes, image_shape: Sequence[int], content_size: int | None = None) -> ReadFile:
    """One image file, or its content, as `read_image` gives it, with what was found, or why it cannot be read."""
    try:
        pixels, size, mode, remarks = _decoded(path, image_shape, content_size)
        return ReadFile(fit_image(pixels, image_shape, content_size), size, mode, remarks)
    except InputError as error:
        return ReadFile(None, error=str(error))


def read_files(
    paths: Iterable[Path], image_shape: Sequence[int], content_size: int | None = None
) -> Iterator[ReadFile]:
    """Yields what becomes of each file, in their order. Reads with a thread for each core, a few files ahead."""
    return map_in_threads(partial(read_file, image_shape=image_shape, content_size=content_size), paths, _TOGETHER)


def read_all(
    paths: Sequence[Path],
    image_shape: Sequence[int],
    content_size: int | None = None,
    *,
    skip_broken: bool = False,
    progress: Progress | None = None,
    name_of: Callable[[Path], str] = str,
) -> ReadFiles:
    """Reads many files into one array, which is all the memory that it needs.

    Args:
        paths: The files.
        image_shape: (h, w, c) that each image is fitted into.
        content_size: See `fit_image`.
        skip_broken: Whether to go on without the files that cannot be read.
        progress: Is given what is read and the number of files, and passes it on, such as `display.counted`.
        name_of: What a file that cannot be read is called.

    Raises:
        UnreadableImagesError: Some files cannot be read, all of which it names, or none can.
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


def _decoded(path, image_shape, content_size) -> Decoded:
    needed = max(*image_shape[:2], _DETAIL if content_size else 0)
    return decode(path, _channels(image_shape, content_size), needed)


def _channels(image_shape, content_size):
    """In how many channels to decode: ink is found on paper by its colour."""
    return 3 if content_size and image_shape[2] == 1 else image_shape[2]
