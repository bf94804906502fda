"""Files of a folder that belong together: they are the old ones or the new ones, never some of each."""

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
    """Replaces files that belong together when the block ends well.

    The block gets a function that opens a new file for one of the paths, as `atomic.replacing` does. At the end all of
    the new files are on the disk; then all of the old ones go, also those that get no new one; then the new ones take
    their names. Until then, and after an error, the old ones are whole. A signal waits until all have their names.

    Args:
        paths: All files of the set, the new ones and those that an earlier set may have had. One process writes them
            at a time: what a killed one left half-written beside them is removed.
        check: Called before the old files go, and raises where they must not: see `folder_lock.locked`.

    Raises `InputError`, at once or at the end, where a file can't be written or an old one can't be replaced.
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
        check()  # a folder that was replaced is told better than a file that is gone
        for each in new:
            with naming(each.path):
                each.finish()
        check()
        with uninterrupted():
            _exchange(paths, new)


def _exchange(paths, new):
    """Puts new files into the place of all old ones, or, after an error, the old ones back."""
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
    """Removes files that would contradict what is about to be written.

    A link stays, and the file it leads to is removed. Raises `InputError` where one can't be removed.
    """
    for path in paths:
        _remove([Path(os.path.realpath(path))])


def _remove(paths):
    for path in paths:
        with naming(path):
            path.unlink(missing_ok=True)
