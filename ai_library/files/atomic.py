"""Files that are either the old ones or the new ones, whatever happens while they are written."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

_UMASK = os.umask(0o077)
os.umask(_UMASK)  # there is no other way to ask for it


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
def replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path` that takes its place, with its permissions, when the block ends well; makes
    the folder. A link stays one, and what it leads to is replaced.

    Text is UTF-8; what cannot be encoded, as in some file names, is written as an escape. Raises `InputError` where the
    file can't be written, or where something else than a file has its name.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    temporary = None
    with naming(path):
        path = Path(os.path.realpath(path))
        try:
            permissions = _permissions(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with open(descriptor, mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, permissions)
            os.replace(temporary, path)
        except BaseException:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _permissions(path):
    """The permissions that a file has, or would have if it were made now."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 0o666 & ~_UMASK
    if not stat.S_ISREG(mode):  # a device, a pipe: a file in its place would do harm
        raise OSError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}")
    return stat.S_IMODE(mode)


def _sync_folder(folder):
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
    """Raises `InputError` where `write_bytes(path, ...)` could not begin: better known before long work than after."""
    with contextlib.suppress(_Untouched), replacing(path):
        raise _Untouched


class _Untouched(Exception):  # noqa: N818 - no error, but the way out of `replacing` that keeps the old file
    pass
