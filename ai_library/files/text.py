"""Names that others chose, of files, classes and fields, as text that cannot do more than be read."""

import unicodedata

_JOINERS = "\u200c\u200d"
"""Between letters of Persian, Hindi and other scripts, and in emoji; they show nothing themselves."""


def is_printable(text: str) -> bool:
    """Whether all of it is letters, signs and spaces, and nothing a command to a terminal or a turn of direction."""
    return all(c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" for c in text)


def escaped(text: str) -> str:
    """The text with an escape in the place of each character that isn't printable, such as line breaks and bytes that
    are no UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)
