"""Handles the signals that end a command, from its start to its exit, also as process 1 of a container."""

import _thread
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
GRACE_SECONDS = 2.5
"""The time that a command has to clean up after a signal."""


class Interrupted(KeyboardInterrupt):
    """A signal was received; raised in the main thread."""

    def __init__(self, received: int, message: str = "interrupted"):
        super().__init__(message)
        self.received = received


class Signals:
    """Ends this process when a signal is received, with a shell's exit status: 128 plus the signal's number.

    Within `raising`, the first signal raises `Interrupted`, so that the command can clean up. Outside of it there is
    nothing to clean up, and the process ends at once. If the exception does not end the process within `GRACE_SECONDS`,
    a thread ends it: the main thread may be in code that runs no Python, such as a compiler, or some code may have
    caught the exception. If other code, such as a training, handles the first signal, the thread acts on the second.

    Signals that the process ignores stay ignored. Shells set this for background jobs.
    """

    def __init__(self):
        self.received: int | None = None
        self._raising = False
        self._ending = _thread.allocate_lock()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        if os.name == "posix":
            heard, wakeup = os.pipe()
            os.set_blocking(wakeup, False)
            signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
            _thread.start_new_thread(self._watch, (heard,))  # importing `threading` takes longer than all of this

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """While this context lasts, the first signal raises `Interrupted`."""
        reported, self._raising = sys.unraisablehook, True
        sys.unraisablehook = lambda lost: isinstance(lost.exc_value, Interrupted) or reported(lost)
        try:
            yield
        finally:
            self._raising = False

    def _handle(self, number, _):
        if not self._raising:
            self._end(number)
        elif self.received is None:
            self.received = number
            raise Interrupted(number)

    def _watch(self, heard):
        count = 0
        while True:
            number = os.read(heard, 1)[0]
            if number not in SIGNALS:
                continue
            count += 1
            if count == 1 and signal.getsignal(number) != self._handle:
                continue
            if self._raising:
                time.sleep(GRACE_SECONDS)
            self._end(number)

    def _end(self, number):
        if not self._ending.acquire(blocking=False):  # this process is being ended already
            return
        if files := sys.modules.get("ai_library.files.atomic"):
            files.remove_unfinished()
        with contextlib.suppress(OSError):
            os.write(2, b"interrupted\n")
        os._exit(128 + number)
