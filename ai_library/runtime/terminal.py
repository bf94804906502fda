"""Standard error as several threads share it: what is written there, and what must not be."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_TERMINAL = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keeps from the terminal what a C library, past Python, writes to it.

    One thread at a time may do so; an `Unfailing` stream waits until it is done.
    """
    with _TERMINAL:
        terminal = os.dup(2)
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class Unfailing:
    """A text stream that drops what cannot be written: to a full disk, a closed pipe, a terminal that is gone."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the stream is a terminal; False where it cannot be asked."""
        return self._tried("isatty") or False

    def write(self, text: str) -> None:
        """Writes a text, or drops it where the stream takes none."""
        self._tried("write", text)

    def flush(self) -> None:
        """Writes out what is buffered, where the stream can."""
        self._tried("flush")

    def _tried(self, name, *arguments):
        with _TERMINAL, contextlib.suppress(AttributeError, OSError, ValueError):  # it may be None, broken, or closed
            return getattr(self._stream, name)(*arguments)


class WithoutWarnings:
    """A block in which a package warns nobody.

    Several threads may be in it at once: Python's own `warnings.catch_warnings` would then leave the filters of one of
    them behind.

    Args:
        package: Whose warnings are ignored; those of others are shown as ever.
    """

    def __init__(self, package: str):
        self._module = rf"{package}(\.|$)"
        self._lock, self._inside, self._filters = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=self._module)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()
