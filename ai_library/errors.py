"""The one error that is the user's to mend, and the check that many arguments need."""

import operator


class InputError(ValueError):
    """An input, an argument or the environment is at fault; the message names the thing and the mend."""


def whole_number(name, value, least, most) -> int:
    """The value as a plain integer, which JSON can hold, as numpy's are not. Raises `InputError` unless it is a whole
    number of these."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name}={value!r} does not fit: it needs to be a whole number from {least} to {most:,}")
    return number
