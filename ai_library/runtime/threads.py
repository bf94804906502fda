"""Work that is shared out among threads, one for each core, in the order of its items."""

import collections
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from .cpu import cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_FEW = 4  # items of a core that are handed over one by one


def map_in_threads(
    function: Callable[[_Item], _Result], items: Iterable[_Item], together: int = 1
) -> Iterator[_Result]:
    """`map(function, items)` with a thread for each core, which takes few items more than it has yielded.

    Args:
        function: What is done with each item.
        items: They are taken in the caller's thread.
        together: Items that a thread gets at a time once there were some: of many small ones, each would take longer to
            be handed over than to be done.
    """
    items, waiting, taken, count = iter(items), collections.deque(), 0, cores()
    with ThreadPoolExecutor(count) as threads:
        try:
            while part := list(islice(items, min(together, 1 + taken // (_FEW * count)))):
                taken += len(part)
                waiting.append(threads.submit(_mapped, function, part))
                if len(waiting) > count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:  # whoever takes the results may stop early
            for future in waiting:
                future.cancel()


def _mapped(function, items):
    return [function(item) for item in items]


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
