"""Names that others chose, of files, classes and fields, as text that cannot do more than be read."""

import re
import unicodedata
from collections.abc import Sequence

_JOINERS = "\u200c\u200d"
"""Between letters of Persian, Hindi and other scripts, and in emoji; they show nothing themselves."""

_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters of Hangul and a sign of Braille that show nothing."""
_CALCULATED = re.compile(rf"(^|[,;|\t])([\s\"'{_JOINERS}]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a formula begins for a spreadsheet, at the start of the text or after a separator; full-width signs count."""


def is_printable(text: str) -> bool:
    """Whether the text has no control characters: none that command a terminal or change the direction of writing."""
    return all(c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" for c in text)


def escaped(text: str) -> str:
    """The text with an escape for each character that isn't printable, such as a line break or a byte outside UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


def is_blank(text: str) -> bool:
    """Whether none of it is a letter, a digit or another sign that shows."""
    return not any(unicodedata.category(c)[0] in "LNPS" and c not in _FILLERS for c in text)


def shortened(text: str, most: int = 40) -> str:
    """The text, or where it has more than `most` characters, as many of it with an ellipsis at the end."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def listed(names: Sequence[str], most: int = 50) -> str:
    """The first names, each `shortened`, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shortened, names[:most])) + more


def counted(count: int, thing: str) -> str:
    """A number of things: "1 image", "1,200 images"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def as_cell(text: str) -> str:
    """Text for a cell of a CSV file that every reader takes for one cell, and no spreadsheet for a formula.

    What isn't printable becomes an escape; an apostrophe goes before what would be calculated, which may run programs
    (owasp.org, "CSV Injection"). It does so within the text, too, after what may separate cells: a spreadsheet takes
    the separator of its user's language, whatever the file is written with.
    """
    return _CALCULATED.sub(r"\1'\2", escaped(text))
