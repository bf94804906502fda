"""Signals that stop a training run: it ends after the next step, with a checkpoint."""

import contextlib
import os
import signal
import sys
from typing import Self

from ..files.uninterrupted import hear, put_back


class StopSignals:
    """A context in which the first signal only sets `received`; a second one acts as usual."""

    def __init__(self):
        self.received: signal.Signals | None = None
        self._previous = {}

    def __enter__(self) -> Self:
        self._previous = hear(self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        put_back(self._previous)
        self._previous = {}

    def _handle(self, number, _):
        if self.received:
            self.__exit__()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        line = f"\n{self.received.name}: ending after a checkpoint; a second one ends at once\n"
        # Not by print: the signal may have interrupted one, which is not reentrant.
        with contextlib.suppress(OSError, ValueError):
            if sys.__stderr__:  # if it was closed, its descriptor may be another file's
                os.write(sys.__stderr__.fileno(), line.encode())


class TrainingStopped(KeyboardInterrupt):
    """A signal stopped `Trainer.fit` after a checkpoint was written. `fit(resume=True)` continues from it.

    It is a `KeyboardInterrupt`, so that `except Exception` does not catch it.

    >>> issubclass(TrainingStopped, KeyboardInterrupt)
    True
    """

    def __init__(self, message: str, received: signal.Signals):
        super().__init__(message)
        self.received = received
