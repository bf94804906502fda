"""A zip archive, unpacked into a temporary folder."""

import os
import re
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from .text import escaped, shortened

_MOST_FILES = 2_000_000
_TIMES, _MORE = 100, 1_000_000_000  # how much more than the archive's size its contents may have
_PIECE = 1_000_000


_IN_UTF8 = 0x800
"""The flag of a name in UTF-8. macOS writes such names without it, which Python reads in the code page of DOS."""


class Unpacked:
    """The files of a zip archive in a temporary folder, which is removed with this object.

    Nothing is written outside of that folder, no links are created, and no more is written than the archive declares.

    Args:
        archive: The zip file.
        wanted: Function of a file's name that says whether to unpack it; other files are created empty.

    Raises:
        InputError: It is not a readable archive, is encrypted or damaged, or would unpack to far more than its own
            size, or to more than the free space of the disk.
    """

    folder: Path
    """The folder of the files."""

    def __init__(self, archive: str | Path, wanted: Callable[[str], bool] = bool):
        self.folder = Path(tempfile.mkdtemp(prefix="unpacked-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        try:
            with zipfile.ZipFile(archive) as opened:
                entries = opened.infolist()
                for entry in entries:
                    entry.filename = _name_of(entry)
                files = [entry for entry in entries if not entry.is_dir()]
                self._check_size(archive, [entry for entry in files if wanted(entry.filename)], len(entries))
                for entry in entries:
                    self._write(opened, entry, wanted(entry.filename))
        except InputError:
            raise
        except Exception as error:  # zipfile raises nearly anything: BadZipFile, zlib.error, RuntimeError, OSError
            reason = shortened(escaped(str(error) or type(error).__name__), 300)
            raise InputError(
                f"{archive} cannot be unpacked: {reason}; unpack it yourself, and give the folder"
            ) from error

    def _check_size(self, archive, entries, count):
        size = sum(entry.file_size for entry in entries)
        most = min(_TIMES * os.path.getsize(archive) + _MORE, shutil.disk_usage(self.folder).free)
        if size > most or count > _MOST_FILES:
            raise InputError(
                f"{archive} has {count:,} files and unpacks to {size:,} bytes, and at most {_MOST_FILES:,} files and "
                f"{most:,} bytes are unpacked: unpack it yourself, and give the folder"
            )

    def _write(self, opened, entry, wanted):
        parts = [part for part in re.split(r"[/\\]", entry.filename) if part not in ("", ".")]
        if not parts or ".." in parts or any("\0" in part or (os.name == "nt" and ":" in part) for part in parts):
            raise InputError(f"{opened.filename} has a file named {shortened(escaped(entry.filename))!r}: make it anew")
        path = self.folder.joinpath(*parts)
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            left = entry.file_size if wanted else 0
            if left:
                with opened.open(entry) as stream:
                    while left and (piece := stream.read(min(_PIECE, left))):
                        left -= file.write(piece)


def _name_of(entry):
    """The name of an entry; without the flag of UTF-8 it is taken for that if it can be."""
    if entry.flag_bits & _IN_UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename
