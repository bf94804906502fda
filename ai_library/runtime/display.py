"""What long work shows: a bar where the output is a terminal, and lines. Neither can end it.

tqdm is imported when a bar is first shown: the prediction of a few images does without.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .terminal import Unfailing

_Item = TypeVar("_Item")
_FEW = 30  # of which nobody waits
_FIRST, _BETWEEN = 0.3, 10.0  # seconds until the first line, and from one to the next


def bar(items: Iterable[_Item], name: str, total: int, first: int = 0, unit: str = "step") -> Iterable[_Item]:
    """The items, of which the first is number `first` of `total`, with a bar while they are taken."""
    from tqdm import tqdm

    return tqdm(
        items,
        name,
        total,
        initial=first,
        unit=unit,
        leave=False,
        disable=None,  # shown where the output is a terminal
        file=Unfailing(sys.stderr),
        dynamic_ncols=True,  # else tqdm asks for the width of `sys.stderr` alone
    )


def counted(items: Iterable[_Item], name: str, total: int) -> Iterator[_Item]:
    """The items, with a bar while they are taken; or, where the output is no terminal, with a line on standard error
    soon after the beginning and then one every few seconds. Of a few items nothing is shown.

    Args:
        items: What is counted, such as images.
        name: What happens to them, such as "reading images".
        total: How many there are.
    """
    if total <= _FEW:
        yield from items
    elif Unfailing(sys.stderr).isatty():
        yield from bar(items, name, total, unit="image")
    else:
        begun = time.monotonic()
        due = begun + _FIRST
        for number, item in enumerate(items, 1):
            if (now := time.monotonic()) >= due:
                due = now + _BETWEEN
                left = (now - begun) / number * (total - number)
                stream = Unfailing(sys.stderr)
                stream.write(f"{name}: {number:,} of {total:,}, about {_duration(left)} left\n")
                stream.flush()
            yield item


def line(text: str) -> None:
    """Prints a line, above the bars that there are."""
    from tqdm import tqdm

    tqdm.write(text, file=Unfailing(sys.stdout))


def _duration(seconds):
    """So many seconds as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
