"""Files of a folder that belong together: they are the old ones or the new ones, never some of each."""

import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .atomic import check_writable, naming, replacing


@contextlib.contextmanager
def replacing_together(paths: Sequence[Path], check: Callable[[], None]) -> Iterator[Callable[..., IO[Any]]]:
    """Replaces files that belong together when the block ends well.

    The block gets a function that opens a new file for one of the paths, as `atomic.replacing` does. At the end all of
    the new files are on the disk; then all of the old ones go, also those that get no new one; then the new ones take
    their names. Until then, and after an error, the old ones are whole.

    Args:
        paths: All files of the set, the new ones and those that an earlier set may have had. One process writes them
            at a time: what a killed one left half-written beside them is removed.
        check: Called before the old files go, and raises where they must not: see `folder_lock.locked`.

    Raises `InputError`, at once or at the end, where a file can't be written or an old one can't be replaced.
    """
    for path in paths:
        check_writable(path)
        real = Path(os.path.realpath(path))
        _remove(real.parent.glob(f".{glob.escape(real.name)}.????????"))  # as `replacing` names them
    with contextlib.ExitStack() as stack:
        opened: list[tuple[Path, IO[Any]]] = []

        def begin(path: Path, mode: str = "w") -> IO[Any]:
            opened.append((path, stack.enter_context(replacing(path, mode))))
            return opened[-1][1]

        yield begin
        for path, file in opened:
            with naming(path):
                file.flush()
                os.fsync(file.fileno())
        check()
        remove_together(paths)


def remove_together(paths: Iterable[Path]) -> None:
    """Removes files that would speak of something else than what is about to be written. A link goes, and what it leads
    to goes as well. Raises `InputError` where one can't be removed."""
    for path in paths:
        _remove([Path(os.path.realpath(path))])


def _remove(paths):
    for path in paths:
        with naming(path):
            path.unlink(missing_ok=True)
