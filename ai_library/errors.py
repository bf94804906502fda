"""The error that a user can mend, and the check that many arguments need."""

import operator


class InputError(ValueError):
    """An input, an argument or the environment is at fault; the message names the thing and the mend."""


def whole_number(name, value, least, most) -> int:
    """Checks an argument that must be a whole number, and returns it as a plain `int`, which JSON can hold.

    Args:
        name: The argument's name, for the message.
        value: The argument: an `int`, or an integer of numpy or JAX.
        least: The smallest value allowed.
        most: The largest value allowed.

    Raises:
        InputError: `value` is no integer, or lies outside `least` to `most`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most:,}, got {value!r}")
    return number
