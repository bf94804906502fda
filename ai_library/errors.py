"""`InputError`, which users can fix themselves, and checks that many functions share."""

import math
import operator
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 1, 4096
"""The sides of an image, in pixels."""
MAX_CHANNELS = 4
"""Grey, grey and alpha, RGB, or RGBA."""
MAX_CLASSES = 1 << 14
MAX_CLASS_NAME = 1024
"""Most characters of a class name: more than a folder's name can have."""


class InputError(ValueError):
    """An argument, an input file or the environment is wrong. The message names it and says what to do.

    >>> TrainConfig(epochs=0)
    Traceback (most recent call last):
        ...
    ai_library.errors.InputError: epochs must be a whole number from 1 to 2,147,483,647, got 0
    """


class DivergedError(InputError):
    """The loss of a training became infinite or nan."""


class MissingExtraError(InputError, ImportError):
    """An optional package is not installed.

    Args:
        error: The error of the import.
        extra: The extra of `ai-library` that installs the package.
    """

    def __init__(self, error: ModuleNotFoundError, extra: str):
        package = (error.name or "").partition(".")[0]
        super().__init__(f"this needs the package {package}, which is not installed: install 'ai-library[{extra}]'")


def whole_number(name: str, value: Any, least: int, most: int) -> int:
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


def plain_number(value: Any) -> int | float:
    """Returns a number as a plain `int` or `float`, which JSON can hold; nan, which is in no range, for anything else.

    Args:
        value: A real number of Python, or one of numpy or JAX, also as an array ().
    """
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, (int, float)):
        return value
    return float(value) if isinstance(value, (Real, Decimal)) else math.nan


def check_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns the image shape (h, w, c) as plain integers.

    Raises:
        InputError: It is not (height, width, channels) with sides from 1 to 4,096 pixels and 1 to 4 channels.
    """
    try:
        height, width, channels = map(operator.index, image_shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    sides = min(height, width) >= MIN_IMAGE_SIZE and max(height, width) <= MAX_IMAGE_SIZE
    if not sides or not 1 <= channels <= MAX_CHANNELS:
        raise InputError(
            f"image shape must be (height, width, channels) with sides from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE:,} "
            f"pixels and 1 to {MAX_CHANNELS} channels, got {image_shape!r}"
        )
    return height, width, channels


def check_labels(labels: Any, n: int, classes: int) -> None:
    """Checks that labels, a numpy array, are (n,) integers from 0 to classes - 1, with n >= 1.

    Raises:
        InputError: They have another shape or type, or there are none, or one is not a class.
    """
    if not labels.size or labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels must be ({n},) integers, at least one, got {labels.shape} of {labels.dtype}: "
            "pass the number of the true class of each example"
        )
    if not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(
            f"labels must be from 0 to {classes - 1}, as there are {classes} classes, got {labels.min()} to "
            f"{labels.max()}: number the classes from 0"
        )
