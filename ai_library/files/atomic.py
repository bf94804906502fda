"""Atomic writes: after any interruption, a file is either the old one or the new one."""

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
os.umask(_UMASK)  # it can only be read by setting it
_unfinished: set[Path] = set()
"""The existing temporary files, to be removed if the process exits within a block."""


@atexit.register
def remove_unfinished() -> None:
    """Removes all temporary files whose blocks have not ended."""
    for path in [*_unfinished]:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turns an `OSError` of the block into an `InputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose a place that can be written to"
        ) from error


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A path for a temporary file, which is removed when the block or the process ends."""
    _unfinished.add(path)  # before it exists: a signal may come in between
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


class NewFile:
    """A temporary file beside the one that it will replace."""

    def __init__(self, file: IO[Any], temporary: Path, path: Path, permissions: int):
        self.file = file
        self.path = path
        """The final path, with links resolved."""
        self._temporary, self._permissions = temporary, permissions

    def finish(self) -> None:
        """Writes all content to the disk, and closes the file."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.chmod(self._temporary, self._permissions)

    def put(self) -> None:
        """Moves the finished file to its final path."""
        os.replace(self._temporary, self.path)


@contextlib.contextmanager
def begun(path: str | Path, mode: str = "w") -> Iterator[NewFile]:
    """Opens a temporary file, which is removed when the block ends, unless it was finished and put in its place.

    The folder is created if missing. Arguments and errors are those of `replacing`, the function for a single file.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with naming(path):
        permissions = _permissions(Path(path))  # of what a link leads to, also where that is a pipe without a path
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            temporary(path.with_name(f".{path.name}.{os.urandom(4).hex()}")) as place,
            open(place, mode.replace("w", "x"), opener=_open_private, **text) as file,
        ):
            yield NewFile(file, place, path, permissions)


@contextlib.contextmanager
def replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file that replaces `path`, with its permissions, when the block ends without an error.

    The folder is created if missing. A link stays a link, and the file to which it leads is replaced.

    Text is UTF-8; characters that cannot be encoded, as in some file names, are escaped. Raises `InputError` if the
    file cannot be written, or the path is not a regular file.
    """
    with begun(path, mode) as new:
        yield new.file
        new.finish()
        new.put()
        sync_folder(new.path.parent)


def _open_private(path, flags):
    return os.open(path, flags, 0o600)


def _permissions(path):
    """The permissions of a file, or those of a new file if there is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 0o666 & ~_UMASK
    if not stat.S_ISREG(mode):  # a device or a pipe must not be replaced
        raise OSError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
    return stat.S_IMODE(mode)


def sync_folder(folder: Path) -> None:
    """Writes a folder's entries to the disk: before that, a power failure may bring back the old file."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file atomically. Raises `InputError` if it cannot be written."""
    with replacing(path, "wb") as file:
        file.write(data)


def check_writable(path: str | Path) -> None:
    """Raises `InputError` if `write_bytes(path, ...)` would fail, to be called before long work.

    It tries a replacement of the old file by a copy. Some files can be written but not replaced: immutable files,
    mount points, and files of another user in a folder with the sticky bit.
    """
    with contextlib.suppress(_Untouched), replacing(path, "wb") as copy:
        if not os.path.exists(path):
            raise _Untouched
        with open(path, "rb") as old:
            shutil.copyfileobj(old, copy)
            copy.flush()
            before = os.stat(old.fileno())
        if not os.path.samestat(before, os.stat(path)):  # another process has replaced it since the copy
            raise _Untouched
        os.utime(copy.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))


class _Untouched(Exception):  # noqa: N818 - not an error: leaves `replacing` and keeps the old file
    pass
