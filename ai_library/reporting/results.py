"""The output folder of a prediction, written by one process or several."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from ..files.atomic import naming, temporary
from ..files.file_set import replacing_together
from ..files.folder_lock import locked
from ..runtime.agreement import all_told
from ..runtime.distributed import broadcast_from_first, is_first, process_count, process_index
from .page import FILES

TABLE = "predictions.csv"
PICTURE = "confusion_matrix.png"
_Finish = Callable[[Callable[[], dict[str, bytes]]], None]


@contextlib.contextmanager
def results(folder: Path) -> Iterator[tuple[IO[str], _Finish]]:
    """Yields a file for the rows of this process, and a function that finishes the writing in all processes.

    That function takes a function, called in the first process, which returns the contents of the other files by name.
    These and `predictions.csv`, with the rows of all processes in order, then replace the files of an earlier
    prediction. After an error nothing changes. Until then the folder is locked. All processes must share it.
    """
    table = Path(os.path.realpath(folder / TABLE))
    parts = [table.with_name(f".{table.name}.{process:08}") for process in range(1, process_count())]
    with contextlib.ExitStack() as stack:
        opened: list[tuple[Callable[..., IO[Any]], IO[Any]]] = []  # only in the first process

        def open_table():
            paths = [folder / name for name in (TABLE, PICTURE, *FILES)]
            begin = stack.enter_context(replacing_together(paths, stack.enter_context(locked(folder))))
            opened.append((begin, begin(paths[0])))
            mark = stack.enter_context(temporary(table.with_name(f".{table.name}.{os.urandom(4).hex()}")))
            mark.touch()  # by which the others check that they share the folder
            return os.fsencode(mark.name)

        mark = broadcast_from_first(open_table)
        all_told(lambda: _check_shared(folder, table.with_name(os.fsdecode(mark))))
        rows = opened[0][1] if is_first() else stack.enter_context(_part(parts[process_index() - 1]))

        def put_together(contents):
            begin, file = opened[0]
            for part in parts:
                with open(part, encoding="utf-8", newline="") as more:
                    shutil.copyfileobj(more, file)
            for name, content in contents().items():
                begin(folder / name, "wb").write(content)
            stack.close()

        def finish(contents):
            all_told(lambda: _flush(rows, table))
            broadcast_from_first(lambda: put_together(contents))

        yield rows, finish


def _check_shared(folder, mark):
    if not mark.exists():
        raise InputError(f"{folder} is not where the first process writes: all need one folder, which they share")


@contextlib.contextmanager
def _part(path):
    """A temporary file of rows, for the first process."""
    with (
        naming(path),
        temporary(path),
        open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _flush(file, path):
    with naming(path):
        file.flush()
