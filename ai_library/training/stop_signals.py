"""Signals that ask for the end of a training run end it at the next step, with a checkpoint, and not in the middle."""

import contextlib
import os
import signal
import sys
from typing import Self

from ..files.uninterrupted import hear, put_back


class StopSignals:
    """While this context lasts, the first signal only sets `received`; a second one acts as it always does."""

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
        # Printing could meet itself, where the signal came in the middle of a print.
        with contextlib.suppress(OSError, ValueError):
            if sys.__stderr__:  # where it was closed, its number is that of another file
                os.write(sys.__stderr__.fileno(), line.encode())


class TrainingStopped(KeyboardInterrupt):
    """A signal ended `Trainer.fit` after its checkpoint was written; `fit(resume=True)` goes on from there."""

    def __init__(self, message: str, received: signal.Signals):
        super().__init__(message)
        self.received = received
