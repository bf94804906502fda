"""Locks a folder, so that one process at a time writes into it."""

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import InputError
from .atomic import naming

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor):
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NAME = "lock"
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Error numbers of file systems without locks."""


class FolderTakenError(InputError):
    """Another process has locked the folder."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[Callable[[], None]]:
    """Locks a folder until the block ends, and creates it if missing.

    The lock belongs to the folder, not to its path: another folder may take its place. So the block gets a function to
    call before each write, which raises `InputError` if the path no longer leads to the locked folder.

    Raises:
        FolderTakenError: Another process has locked the folder.
        InputError: The folder cannot be written to.
    """
    path = Path(folder) / NAME
    with naming(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquired(path)

    def check() -> None:
        if not _is(path, descriptor):
            raise InputError(
                f"{folder} was removed, moved or replaced while this process wrote into it: nothing more is written "
                "there; begin again in another folder"
            )

    try:
        yield check
    finally:
        with contextlib.suppress(OSError):  # some systems cannot remove open files
            if _is(path, descriptor):
                path.unlink()
        os.close(descriptor)


def _acquired(path):
    """Opens and locks the file at a path; returns its descriptor."""
    while True:
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _try(path, descriptor)
            if _is(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the previous owner removed it, and another process may have made a new one


def _try(path, descriptor):
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FolderTakenError(
                f"another process writes into {path.parent}: wait for its end, or choose another folder"
            ) from error
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(f"{path.parent} lies where files cannot be locked: let nothing else write there", stacklevel=5)


def _is(path, descriptor):
    """Whether a path leads to the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False
