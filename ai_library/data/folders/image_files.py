"""Finds the image files in a folder."""

import contextlib
import heapq
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .file_kinds import file_passed_over, folder_passed_over

IMAGE_ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
_NAMES = 1 << 14  # names of a folder that are sorted at a time


def image_files(folder: str | Path, passed_over: Counter[str] | None = None) -> Iterator[Path]:
    """Yields the image files in a folder and all folders below it, recognised by their endings.

    They are sorted by name: first the files of a folder, then those of its sub-folders. Memory: the names of one
    folder at a time.

    Names that begin with a full stop, and folders of a NAS or a system, are passed over, because programs keep their
    own files there. Links are followed.

    Args:
        folder: The folder.
        passed_over: Counts the files that are passed over, by reason. None: they are not counted.

    Raises:
        InputError: A folder cannot be listed, as its images would be missing silently, or links lead to one folder
            twice, as they could do so endlessly.
    """
    waiting, listed = [os.fspath(folder)], set()
    while waiting:
        place = waiting.pop()
        with listing(place):
            status = os.stat(place)
        if (status.st_dev, status.st_ino) in listed:
            raise InputError(f"{place} leads to a folder that is there already: remove the link")
        listed.add((status.st_dev, status.st_ino))
        folders, files = _contents(place, passed_over)
        yield from (Path(place, name) for name in files)
        for name in reversed(folders):
            below = os.path.join(place, name)
            if not (reason := folder_passed_over(name)):
                waiting.append(below)
            elif passed_over is not None and (count := sum(len(its) for _, _, its in os.walk(below))):
                passed_over[reason] += count


def _contents(place, passed_over):
    """The sorted names of the folders and of the image files in a folder.

    Those of the files are stored as bytes, which take a sixth of the memory of a list.
    """
    folders, files, parts = [], [], []
    with listing(place), os.scandir(place) as entries:
        for entry in entries:
            if is_folder(entry):
                folders.append(entry.name)
            elif not (reason := file_passed_over(entry.name, IMAGE_ENDINGS)):
                files.append(os.fsencode(entry.name))
            elif passed_over is not None:
                passed_over[reason] += 1
            if len(files) == _NAMES:
                parts.append(b"\0".join(sorted(files)))
                files = []
    parts += [b"\0".join(sorted(files))] if files else []
    streams = [(found.group() for found in re.finditer(rb"[^\0]+", part)) for part in parts]
    return sorted(folders, key=os.fsencode), map(os.fsdecode, heapq.merge(*streams))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; the listing itself says so of most."""
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


@contextlib.contextmanager
def listing(place: str | Path) -> Iterator[None]:
    """Turns an `OSError` of the block, which lists a folder, into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be listed: {error.strerror}; make it readable or remove it") from error
