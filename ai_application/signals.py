"""The signals that ask a command to end, heard from its first moment to its last, also as process 1 of a container."""

import _thread
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
GRACE_SECONDS = 2.5
"""The time for cleaning up."""


class Interrupted(KeyboardInterrupt):
    """A signal, raised where the command was when it came."""

    def __init__(self, received: int, message: str = "interrupted"):
        super().__init__(message)
        self.received = received


class Signals:
    """Ends this process by a signal, with the status that a shell has for it: 128 and the signal's number.

    Within `raising` the first signal raises `Interrupted`, so that what was begun is cleaned up. Before and after,
    nothing is begun, and the process ends at once. A thread ends it in any case, after `GRACE_SECONDS`, where that did
    not: the main thread may be in code that hears nothing, such as a compiler, or something may have caught the
    exception. So it does at a second signal where somebody else, such as a training, heeds the first.

    A signal that the process ignores, as shells have it for what runs in the background, stays ignored.
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
            _thread.start_new_thread(self._watch, (heard,))  # `threading` takes longer to import than all of this

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
        if not self._ending.acquire(blocking=False):  # the other thread does it, or this one, which a signal came to
            return
        if files := sys.modules.get("ai_library.files.atomic"):
            files.remove_unfinished()
        with contextlib.suppress(OSError):
            os.write(2, b"interrupted\n")
        os._exit(128 + number)
