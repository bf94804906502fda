"""The check of class names, the same wherever they are made, stored or read."""

import unicodedata
from collections.abc import Sequence

from ..errors import MAX_CLASS_NAME, MAX_CLASSES, InputError
from ..files.text import is_blank, is_printable, shortened


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the labels 0, 1, ... as a tuple.

    Raises:
        InputError: They are not 2 to 16,384 different strings, each printable, not blank, of at most 1,024 characters.
    """
    if not isinstance(class_names, (tuple, list)):
        raise InputError(f"class_names must be a tuple of names, got {class_names!a:.60}")
    for name in class_names:
        if not isinstance(name, str) or not is_printable(name):
            raise InputError(f"a class name must be printable text, got {name!a:.60}: rename it")
        if is_blank(name) or len(name) > MAX_CLASS_NAME:
            raise InputError(
                f"a class name must have 1 to {MAX_CLASS_NAME:,} characters and not be blank, got {len(name):,} "
                f"characters, {shortened(name)!a}: rename it"
            )
    if len(class_names) < 2 or len(set(class_names)) != len(class_names):
        seen = set()
        twice = [name for name in class_names if name in seen or seen.add(name)]
        found = f"{shortened(twice[0])!r} twice" if twice else f"{tuple(class_names)}"
        raise InputError(f"class_names must be 2 names or more, each once, got {found}")
    if len(class_names) > MAX_CLASSES:
        raise InputError(f"class_names must be at most {MAX_CLASSES:,} names, got {len(class_names):,}")
    return tuple(class_names)


def nfc(name: str) -> str:
    """A name in Unicode's normal form NFC, so that names that look the same are equal.

    File systems and archive programs store letters with accents in different forms.
    """
    return unicodedata.normalize("NFC", name)
