"""What long work shows: a bar where the output is a terminal, and lines. Neither can end it.

tqdm is imported when a bar is first shown: the prediction of a few images does without.
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
_FEW = 30  # of which nobody waits
_FIRST, _BETWEEN = 0.3, 10.0  # seconds until the first line, and from one to the next


def bar(name: str, total: int, first: int = 0, unit: str = "step") -> "tqdm[NoReturn]":
    """A bar, shown until it is closed, of which `first` of `total` are done; its `update` takes how many more are."""
    from tqdm import tqdm

    return tqdm(
        desc=name,
        total=total,
        initial=first,
        unit=unit,
        leave=False,
        disable=None,  # shown where the output is a terminal
        file=Unfailing(sys.stderr),
        dynamic_ncols=True,  # else tqdm asks for the width of `sys.stderr` alone
    )


def counted(
    items: Iterable[_Item], name: str, total: int, weight: Callable[[_Item], int] = lambda _: 1
) -> Iterator[_Item]:
    """Yields the items, and shows progress.

    A terminal gets a bar. Otherwise a line on standard error appears soon after the beginning, and then one every few
    seconds. Nothing is shown for a few items, and in any process but the first.

    Args:
        items: What is counted, such as images or batches.
        name: What happens to them, such as "reading images".
        total: How many there are.
        weight: How many of the total an item is.
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
    """A line now and then about how many of a total are done."""

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
    """Prints a line, above the bars that there are."""
    from tqdm import tqdm

    tqdm.write(text, file=Unfailing(sys.stdout))


def _duration(seconds):
    """So many seconds as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
