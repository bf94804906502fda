"""Makes standard output and error safe: writing never fails, and no control character reaches the terminal."""

import contextlib
import io
import os
import re
import sys
from typing import TextIO

from ai_library.files.text import escaped


def keep_descriptors() -> None:
    """Opens standard input, output and error on the null device where they are closed.

    Otherwise the next opened file would get their number, and receive the output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def make_unfailing() -> None:
    """Makes `sys.stdout` and `sys.stderr` drop output that cannot be written.

    Reasons may be a full disk, a closed pipe or a lost terminal, also at the exit of Python. Characters that the
    encoding lacks are written as escapes. So are control characters, except line breaks, tabs and a carriage
    return at the start of a text.
    """
    os.environ.update(NO_COLOR="1", PYTHON_TYRO_ANSI_CODES="False")  # colours need control characters
    sys.stdout = sys.__stdout__ = _unfailing(sys.stdout, 1)
    sys.stderr = sys.__stderr__ = _unfailing(sys.stderr, 2)


def _unfailing(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    if not isinstance(stream, io.TextIOWrapper):  # replaced by other code: left alone
        return stream
    encoding, by_lines, at_once = stream.encoding, stream.line_buffering, stream.write_through
    buffer = stream.detach()  # otherwise the old stream would close the buffer
    raw = _Dropping(buffer.detach() if isinstance(buffer, io.BufferedWriter) else buffer)
    buffer = raw if at_once else io.BufferedWriter(raw)
    return _Printable(buffer, encoding, "backslashreplace", line_buffering=by_lines, write_through=at_once)


class _Dropping(io.RawIOBase):
    """Writes to a raw stream, and drops data that it does not accept."""

    def __init__(self, raw):
        self._raw = raw
        self.name = raw.name

    def writable(self):
        return True

    def fileno(self):
        return self._raw.fileno()

    def isatty(self):
        return self._raw.isatty()

    def write(self, data):
        left = memoryview(data).cast("B")
        size = len(left)
        with contextlib.suppress(OSError):
            while left and (written := self._raw.write(left)):  # None: it would block
                left = left[written:]
        return size


class _Printable(io.TextIOWrapper):
    """A text stream that writes escapes for control characters."""

    def write(self, text):
        super().write(re.sub(r"^\r|[^\n\t]+", lambda part: part[0] if part[0] == "\r" else escaped(part[0]), text))
        return len(text)
