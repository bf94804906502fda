"""What a training shows: a bar where the output is a terminal, and lines. Neither can end it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm


@contextlib.contextmanager
def bar(name: str, total: int, first: int = 0, shown: bool = True) -> Iterator[Callable[[int], object]]:
    """Shows a bar in the block, from step `first` of `total` on; gives what to call with the steps that were taken."""
    with tqdm(
        desc=name,
        total=total,
        initial=first,
        unit="step",
        leave=False,
        disable=None if shown else True,  # None: shown where the output is a terminal
        file=_Unfailing(sys.stderr),
        dynamic_ncols=True,  # else tqdm asks for the width of `sys.stderr` alone
    ) as progress:
        yield progress.update


def line(text: str) -> None:
    """Prints a line, above the bars that there are."""
    tqdm.write(text, file=_Unfailing(sys.stdout))


class _Unfailing:
    """A text stream that drops what cannot be written: to a full disk, a closed pipe, a terminal that is gone."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self._tried("isatty") or False

    def write(self, text: str) -> None:
        self._tried("write", text)

    def flush(self) -> None:
        self._tried("flush")

    def _tried(self, name, *arguments):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be None, broken, or closed
            return getattr(self._stream, name)(*arguments)
