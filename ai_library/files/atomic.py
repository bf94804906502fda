"""Files that are either the old ones or the new ones, whatever happens while they are written."""

import atexit
import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

_UMASK = os.umask(0o077)
os.umask(_UMASK)  # there is no other way to ask for it
_unfinished: set[Path] = set()
"""The temporary files that there are, for an end of the process that leaves no block."""


@atexit.register
def remove_unfinished() -> None:
    """Removes all temporary files, where the process ends within the blocks that would do it."""
    for path in [*_unfinished]:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Makes an `OSError` of the block an `InputError` that says what can't be written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose a place that can be written to"
        ) from error


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A file that the block makes, which is gone when the block or the process ends."""
    _unfinished.add(path)  # before it is there: a signal may come in between
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


class NewFile:
    """A file that waits beside the one whose place it will take."""

    def __init__(self, file: IO[Any], temporary: Path, path: Path, permissions: int):
        self.file = file
        self.path = path
        """Where it will be; what a link led to."""
        self._temporary, self._permissions = temporary, permissions

    def finish(self) -> None:
        """Leaves all of it on the disk, and closes it."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.chmod(self._temporary, self._permissions)

    def put(self) -> None:
        """Gives it its name, once it is finished."""
        os.replace(self._temporary, self.path)


@contextlib.contextmanager
def begun(path: str | Path, mode: str = "w") -> Iterator[NewFile]:
    """Opens a file that is gone when the block ends, unless it was finished and put in its place; makes the folder.

    Arguments and errors are those of `replacing`, which is what to call for a single file.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with naming(path):
        path = Path(os.path.realpath(path))
        permissions = _permissions(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            temporary(path.with_name(f".{path.name}.{os.urandom(4).hex()}")) as place,
            open(place, mode.replace("w", "x"), opener=_open_private, **text) as file,
        ):
            yield NewFile(file, place, path, permissions)


@contextlib.contextmanager
def replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file that replaces `path`, with its permissions, when the block ends without an error.

    The folder is created where it is missing. A link stays a link, and the file it leads to is replaced.

    Text is UTF-8; what cannot be encoded, as in some file names, is written as an escape. Raises `InputError` where the
    file can't be written, or where something else than a file has its name.
    """
    with begun(path, mode) as new:
        yield new.file
        new.finish()
        new.put()
        sync_folder(new.path.parent)


def _open_private(path, flags):
    return os.open(path, flags, 0o600)


def _permissions(path):
    """The permissions that a file has, or would have if it were made now."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 0o666 & ~_UMASK
    if not stat.S_ISREG(mode):  # a device, a pipe: a file in its place would do harm
        raise OSError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}")
    return stat.S_IMODE(mode)


def sync_folder(folder: Path) -> None:
    """Leaves the folder's new entry on the disk, too: until then a loss of power may bring back the old file."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole. Raises `InputError` where it can't."""
    with replacing(path, "wb") as file:
        file.write(data)


def check_writable(path: str | Path) -> None:
    """Raises `InputError` where `write_bytes(path, ...)` could not: better known before long work than after.

    It is tried: a copy of an old file takes its place. One that is immutable, that is mounted by itself, or that is
    another user's in a folder where only the owner of a file may remove it, can be written but not replaced.
    """
    with contextlib.suppress(_Untouched), replacing(path, "wb") as copy:
        if not os.path.exists(path):
            raise _Untouched
        with open(path, "rb") as old:
            shutil.copyfileobj(old, copy)
            copy.flush()
            before = os.stat(old.fileno())
        if not os.path.samestat(before, os.stat(path)):  # another process's, newer than the copy
            raise _Untouched
        os.utime(copy.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))


class _Untouched(Exception):  # noqa: N818 - no error, but the way out of `replacing` that keeps the old file
    pass
