"""Reads images from a CSV file with one row of pixels per image, as that of Kaggle's digit-recognizer."""

import csv
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...files.text import shortened

_MOST_BYTES = 4_000_000_000
_LABEL_NAMES = ("label", "class", "target", "y")
_WITH_FRACTION = re.compile(r"[+-]?\d+\.\d*(?:e[+-]\d+)?", re.ASCII)


class PixelTable(NamedTuple):
    """Images of one channel, with their labels if the table has them."""

    images: NDArray[np.uint8]
    """(n, h, w)."""
    labels: list[str] | None


def is_table(path: str | Path) -> bool:
    """Whether a path has the name of a CSV file."""
    return os.path.splitext(path)[1].lower() == ".csv" and os.path.isfile(path)


def read_pixels(path: str | Path) -> PixelTable:
    """Reads a table whose rows are square grey images, in pixels from 0 to 255; the first column may be the label.

    The first line may name the columns: "label", then any names, or numbers. Without it, there is a label if the number
    of the other columns is a square. Numbers may be written with a fraction, as numpy does.

    Raises:
        InputError: It is no such table.
    """
    path = Path(path)
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes, and at most {_MOST_BYTES:,} are read: divide it")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file: {error}") from error
    columns, named = len(first), _names_columns(first)
    labelled = first[0].strip().lower() in _LABEL_NAMES if named else math.isqrt(columns) ** 2 != columns
    pixels = columns - labelled
    side = math.isqrt(pixels)
    if pixels < 4 or side**2 != pixels:
        raise InputError(
            f"{path} must have a column for each pixel of a square image, and perhaps one named label before them, as "
            f"in label,pixel0,pixel1,...; it has {columns:,} columns, from {shortened(', '.join(first[:3]), 60)!r} on"
        )
    try:
        texts, values = _values(path, named, labelled, columns)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    if not len(values):
        raise InputError(f"{path} has no rows of pixels below the names of its columns")
    return PixelTable(values.reshape(-1, side, side), texts)


def _names_columns(cells):
    """Whether the first line of a table names its columns: it is a row of pixels if all but a label are numbers."""
    if not all(map(_is_number, cells[1:])):
        return True
    return bool(cells) and not _is_number(cells[0]) and cells[0].strip().lower() in ("", *_LABEL_NAMES)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _as_label(cell):
    """The label of a cell: a whole number without its fraction, as numpy writes 7 as 7.000e+00."""
    text = cell.strip().strip('"')
    if _WITH_FRACTION.fullmatch(text) and abs(value := float(text)) < 2**53 and value.is_integer():
        return str(int(value))
    return text


def _values(path, named, labelled, columns):
    """The labels as strings, and the pixels (n, pixels) uint8."""
    labels, blocks = [], []
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(file, 1):
            if (number == 1 and named) or not line.strip():
                continue
            label, _, pixels = line.partition(",") if labelled else ("", "", line)
            try:
                row = np.array(pixels.split(","), np.float64)
            except ValueError as error:
                raise InputError(f"{path} must have numbers in line {number:,}, got {error}") from error
            if len(row) != columns - labelled or not ((row >= 0) & (row <= 255) & (row == np.floor(row))).all():
                raise InputError(
                    f"{path} must have {columns - labelled:,} pixels from 0 to 255 in line {number:,}, got "
                    f"{len(row):,} from {row.min():g} to {row.max():g}"
                )
            labels.append(_as_label(label))
            blocks.append(row.astype(np.uint8))
    return (labels if labelled else None), np.array(blocks, np.uint8)
