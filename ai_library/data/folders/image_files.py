"""Finds the image files in a folder."""

import contextlib
import heapq
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .file_kinds import folder_passed_over

IMAGE_ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
_NAMES = 1 << 14  # of a folder, sorted at a time


def image_files(folder: str | Path) -> Iterator[Path]:
    """The image files in a folder and all folders below it, recognised by their endings.

    The order is that of the names: first the files of a folder, then those of its sub-folders. The names of one folder
    at a time are in memory.

    Names that begin with a full stop are passed over, and folders of a NAS or a system: programs leave such files for
    themselves. Links are followed.
    Raises `InputError` where a folder can't be listed, whose images would otherwise be missing without a word, and
    where links lead to one folder twice, perhaps without end.
    """
    waiting, listed = [os.fspath(folder)], set()
    while waiting:
        place = waiting.pop()
        with listing(place):
            status = os.stat(place)
        if (status.st_dev, status.st_ino) in listed:
            raise InputError(f"{place} leads to a folder that is there already: remove the link")
        listed.add((status.st_dev, status.st_ino))
        folders, files = _contents(place)
        yield from (Path(place, name) for name in files)
        waiting += [os.path.join(place, name) for name in reversed(folders) if not folder_passed_over(name)]


def _contents(place):
    """The names of the folders in a folder, and those of its image files, in order.

    The latter are held as the bytes that they are: a sixth of what a list of them takes.
    """
    folders, files, parts = [], [], []
    with listing(place), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif entry.name.lower().endswith(IMAGE_ENDINGS):
                files.append(os.fsencode(entry.name))
            if len(files) == _NAMES:
                parts.append(b"\0".join(sorted(files)))
                files = []
    parts += [b"\0".join(sorted(files))] if files else []
    streams = [(found.group() for found in re.finditer(rb"[^\0]+", part)) for part in parts]
    return sorted(folders, key=os.fsencode), map(os.fsdecode, heapq.merge(*streams))


def _is_folder(entry):
    """Whether an entry is a folder, or a link to one; the listing itself says so of most."""
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


@contextlib.contextmanager
def listing(place: str | Path) -> Iterator[None]:
    """Raises `InputError` in place of an `OSError` within the block, which lists a folder."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be listed: {error.strerror}; make it readable or remove it") from error
