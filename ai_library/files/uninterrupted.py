"""Holds back signals during short operations."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
"""The signals that ask a process to end, as far as the system has them."""


def hear(handler: Callable[[int, Any], None]) -> dict[signal.Signals, Any]:
    """Sets a handler for `SIGNALS`, and returns the previous handlers.

    Ignored signals stay ignored, as shells set them for background processes. Outside of the main thread, where Python
    cannot handle signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def put_back(handlers: dict[signal.Signals, Any]) -> None:
    """Restores the previous handlers that `hear` returned."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds back signals that ask the process to end until the block, which must be short, ends."""
    received: list[int] = []
    previous = hear(lambda number, _: received.append(number))
    try:
        yield
    finally:
        put_back(previous)
        if received:
            signal.raise_signal(received[0])
