"""Ctrl-C and SIGTERM end a training run at the next step, with a checkpoint, instead of in the middle of one."""

import os
import signal
import threading
from typing import Self


class StopSignals:
    """While this context lasts, the first SIGINT or SIGTERM only sets `received`; a second one acts as it always does.

    A signal that the process ignores, as shells have it for what runs in the background, stays ignored. Outside the
    main thread, where Python hears no signals, it does nothing.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._previous = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _handle(self, number, _):
        self.received = signal.Signals(number)
        line = f"\n{self.received.name}: ending after a checkpoint; a second one ends at once\n"
        os.write(2, line.encode())  # printing could meet itself, where the signal came in the middle of a print
        self.__exit__()


class TrainingStopped(KeyboardInterrupt):
    """A signal ended `Trainer.fit` after its checkpoint was written; `fit(resume=True)` goes on from there."""

    def __init__(self, message: str, received: signal.Signals):
        super().__init__(message)
        self.received = received
