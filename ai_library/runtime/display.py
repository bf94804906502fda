"""Progress of long work: a bar on a terminal, else lines. A broken output never ends the work.

tqdm is imported when a bar is first shown: predicting a few images does not need it.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from .distributed import is_first
from .terminal import Unfailing

if TYPE_CHECKING:
    from tqdm import tqdm

_Item = TypeVar("_Item")
_FEW = 30  # items: fewer show no progress
_FIRST, _BETWEEN = 0.3, 10.0  # seconds until the first line, and from one to the next


def bar(name: str, total: int, first: int = 0, unit: str = "step") -> "tqdm[NoReturn]":
    """A progress bar from `first` to `total`, shown until it is closed; its `update` takes the number of new items."""
    from tqdm import tqdm

    return tqdm(
        desc=name,
        total=total,
        initial=first,
        unit=unit,
        leave=False,
        disable=None,  # shown only on a terminal
        file=Unfailing(sys.stderr),
        dynamic_ncols=True,  # else tqdm asks for the width of `sys.stderr` alone
    )


def counted(
    items: Iterable[_Item], name: str, total: int, weight: Callable[[_Item], int] = lambda _: 1
) -> Iterator[_Item]:
    """Yields the items, and shows progress.

    A terminal shows a bar. Otherwise a line is written to standard error soon after the beginning, and then every few
    seconds. Nothing is shown for a few items, or in a process other than the first.

    Args:
        items: The items, such as images or batches.
        name: The work, such as "reading images".
        total: The total of all weights.
        weight: Function of an item that returns its part of the total.
    """
    if total <= _FEW or not is_first():
        yield from items
        return
    terminal = Unfailing(sys.stderr).isatty()
    with bar(name, total, unit="image") if terminal else _Lines(name, total) as shown:
        for item in items:
            shown.update(weight(item))
            yield item


class _Lines:
    """Writes a line every few seconds with the number of finished items."""

    def __init__(self, name, total):
        self._name, self._total, self._done = name, total, 0
        self._begun = time.monotonic()
        self._due = self._begun + _FIRST

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, done):
        self._done += done
        if (now := time.monotonic()) < self._due:
            return
        self._due = now + _BETWEEN
        left = (now - self._begun) / self._done * (self._total - self._done)
        stream = Unfailing(sys.stderr)
        stream.write(f"{self._name}: {self._done:,} of {self._total:,}, about {_duration(left)} left\n")
        stream.flush()


def line(text: str) -> None:
    """Prints a line, above any progress bars."""
    from tqdm import tqdm

    tqdm.write(text, file=Unfailing(sys.stdout))


def _duration(seconds):
    """Formats seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
