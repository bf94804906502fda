"""Work in threads, one per core, with results in the order of the items."""

import collections
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TypeVar

from .cpu import cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_FEW = 4  # items of a core that are handed over one by one


def map_in_threads(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    together: int = 1,
    quick: Callable[[_Item], bool] = lambda item: False,
) -> Iterator[_Result]:
    """`map(function, items)` with one thread per core, which reads only a few items ahead.

    Args:
        function: It is called on each item.
        items: They are read in the caller's thread.
        together: Most items that a thread gets at a time. The first ones are handed over one by one; of many small
            ones, handing over each alone would take longer than the work.
        quick: Function of an item: whether the work on it is mostly Python, which runs in one thread at a time.
            Threads would only wait for each other, so the caller's thread does the work.
    """
    items, waiting, taken, count = iter(items), collections.deque(), 0, cores()
    with ThreadPoolExecutor(count) as threads:
        try:
            while part := list(islice(items, min(together, 1 + taken // (_FEW * count)))):
                taken += len(part)
                done = partial(_mapped, function, part)
                waiting.append(done if all(map(quick, part)) else threads.submit(done).result)
                if len(waiting) > count:
                    yield from waiting.popleft()()
            while waiting:
                yield from waiting.popleft()()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # the consumer may stop early


def _mapped(function, items):
    return [function(item) for item in items]


class Room:
    """Bounds the sum of the amounts that several threads hold at the same time.

    Args:
        most: Upper bound of the sum. A single thread may hold more.
    """

    def __init__(self, most: int):
        self._most, self._taken, self._changed = most, 0, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits until an amount is available, and holds it until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + amount <= self._most)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()
