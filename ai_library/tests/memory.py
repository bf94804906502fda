"""How much memory something needs."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most memory of Python's and numpy's that `work()` has at once, by the less of two measurements: first imports
    and other threads are measured as well."""
    peaks = []
    for _ in range(2):
        gc.collect()
        tracemalloc.start()
        try:
            work()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)
