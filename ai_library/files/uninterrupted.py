"""What is done whole before a signal ends the process."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
"""Those that ask a process to end, where the system has them."""


def hear(handler: Callable[[int, Any], None]) -> dict[signal.Signals, Any]:
    """Lets a handler hear `SIGNALS`, and returns the previous handlers.

    A signal that the process ignores, as shells have it for what runs in the background, stays ignored. Outside the
    main thread, where Python hears no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def put_back(handlers: dict[signal.Signals, Any]) -> None:
    """Lets the previous handlers that `hear` returned hear them again."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds back a signal that asks the process to end until the block, which must be short, is done."""
    received: list[int] = []
    previous = hear(lambda number, _: received.append(number))
    try:
        yield
    finally:
        put_back(previous)
        if received:
            signal.raise_signal(received[0])
