"""Standard error, shared by several threads: keeps messages of C libraries away, and ignores broken streams."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_TERMINAL = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Hides what C libraries write directly to standard error within the block.

    Only one thread at a time can be in it, and `Unfailing` streams wait for its end.
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
    """A text stream that ignores failing writes: to a full disk, a closed pipe, or a closed terminal."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the stream is a terminal; False if that fails."""
        return self._tried("isatty") or False

    def write(self, text: str) -> None:
        """Writes a text, or drops it if that fails."""
        self._tried("write", text)

    def flush(self) -> None:
        """Flushes the stream, if possible."""
        self._tried("flush")

    def _tried(self, name, *arguments):
        with _TERMINAL, contextlib.suppress(AttributeError, OSError, ValueError):  # it may be None, broken, or closed
            return getattr(self._stream, name)(*arguments)


class WithoutWarnings:
    """A context that ignores the warnings of a package.

    Several threads may be in it at the same time. With `warnings.catch_warnings`, filters of one thread could remain
    afterwards.

    Args:
        package: The package whose warnings are ignored; others are shown as usual.
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
