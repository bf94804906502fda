"""Makes untrusted names, of files, classes and fields, safe to show."""

import re
import unicodedata
from collections.abc import Sequence

_JOINERS = "\u200c\u200d"
"""Invisible joiners between letters of Persian, Hindi and other scripts, and in emoji."""

_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Invisible letters of Hangul and an empty Braille pattern."""
_CALCULATED = re.compile(rf"(^|[,;|\t])([\s\"'{_JOINERS}]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""The beginning of a spreadsheet formula, in the text or after a separator, full-width signs included."""


def is_printable(text: str) -> bool:
    """Whether a text has no characters that control a terminal or the direction of writing."""
    return all(c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" for c in text)


def escaped(text: str) -> str:
    """Escapes each unprintable character of a text, such as a line break or an invalid UTF-8 byte."""
    if text.isprintable():
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


def is_blank(text: str) -> bool:
    """Whether a text has no visible character."""
    return not any(unicodedata.category(c)[0] in "LNPS" and c not in _FILLERS for c in text)


def shortened(text: str, most: int = 40) -> str:
    """The text, shortened to `most` characters with an ellipsis if it is longer."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def listed(names: Sequence[str], most: int = 50) -> str:
    """The first names, each `shortened`, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shortened, names[:most])) + more


def counted(count: int, thing: str) -> str:
    """A number of things: "1 image", "1,200 images"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def as_cell(text: str) -> str:
    """Text for a cell of a CSV file that is read as one cell, and that no spreadsheet takes for a formula.

    Unprintable characters are escaped. An apostrophe is put before anything that would be calculated, since formulas
    can run programs (owasp.org, "CSV Injection"). This also holds within the text, after any separator: a spreadsheet
    uses the separator of its user's language, not that of the file.
    """
    return _CALCULATED.sub(r"\1'\2", escaped(text))
