"""Work that is shared out among threads, one for each core, in the order of its items."""

import collections
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .cpu import cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """`map(function, items)` with a thread for each core, which takes few items more than it has yielded."""
    waiting = collections.deque()
    with ThreadPoolExecutor(cores()) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever takes the results may stop early
            for future in waiting:
                future.cancel()


class Room:
    """Bounds what several threads hold at once.

    Args:
        most: The sum of what they hold. One alone may hold more.
    """

    def __init__(self, most: int):
        self._most, self._taken, self._changed = most, 0, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits until there is room for an amount, and holds it until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + amount <= self._most)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()
