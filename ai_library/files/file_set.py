"""Replaces several files of a folder together: all are old or all are new."""

import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .atomic import NewFile, begun, check_writable, naming, sync_folder
from .uninterrupted import uninterrupted


@contextlib.contextmanager
def replacing_together(paths: Sequence[Path], check: Callable[[], None]) -> Iterator[Callable[..., IO[Any]]]:
    """Replaces files that belong together when the block ends without an error.

    The block gets a function that opens a new file for one of the paths, as `atomic.replacing` does. At the end, the
    new files are written to the disk, all old files are removed, also those without a new one, and the new files are
    renamed. Before that, and after an error, the old files are complete. Signals are held back during the exchange.

    Args:
        paths: All files of the set, the new ones and those that an earlier set may have. Only one process may write
            them at a time: half-written files of a killed process are removed.
        check: Called before the old files are removed; it raises an error to prevent it: see `folder_lock.locked`.

    Raises:
        InputError: A file cannot be written or an old one cannot be replaced, now or at the end.
    """
    for path in paths:
        check_writable(path)
        real = Path(os.path.realpath(path))
        _remove(real.parent.glob(f".{glob.escape(real.name)}.????????"))  # as `begun` names them
    with contextlib.ExitStack() as stack:
        new: list[NewFile] = []

        def begin(path: Path, mode: str = "w") -> IO[Any]:
            new.append(stack.enter_context(begun(path, mode)))
            return new[-1].file

        yield begin
        check()  # first: its message about a replaced folder is clearer
        for each in new:
            with naming(each.path):
                each.finish()
        check()
        with uninterrupted():
            _exchange(paths, new)


def _exchange(paths, new):
    """Replaces all old files by the new ones; after an error, restores the old ones."""
    aside: list[Path] = []
    with contextlib.ExitStack() as undo:
        for path in map(Path, map(os.path.realpath, paths)):
            aside.append(path.with_name(f".{path.name}.{os.urandom(4).hex()}"))
            undo.callback(_move, aside[-1], path)
            with naming(path):
                _move(path, aside[-1])
        for each in new:
            undo.callback(each.path.unlink, missing_ok=True)
            with naming(each.path):
                each.put()
        undo.pop_all()
    _remove(aside)
    for folder in {each.path.parent for each in new}:
        with naming(folder):
            sync_folder(folder)


def _move(path, to):
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, to)


def remove_together(paths: Iterable[Path]) -> None:
    """Removes files that would contradict those about to be written.

    A link stays, and the file to which it leads is removed. Raises `InputError` if one cannot be removed.
    """
    for path in paths:
        _remove([Path(os.path.realpath(path))])


def _remove(paths):
    for path in paths:
        with naming(path):
            path.unlink(missing_ok=True)
