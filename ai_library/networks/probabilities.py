"""Probabilities from logits, in numpy alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_NUMBERS_AT_A_TIME = 1 << 20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Divides the rows of an array of shape (n, classes) into slices of a few megabytes each."""
    rows = max(1, _NUMBERS_AT_A_TIME // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def softmax(logits: "ArrayLike", temperature: float = 1.0) -> "NDArray[np.float64]":
    """The softmax of each row of logits / temperature, in float64. Memory: the result plus a few megabytes.

    Args:
        logits: (n, classes), of any float type; n may be 0.
        temperature: The logits are divided by it.

    Returns:
        (n, classes) float64 in [0, 1], each row summing to 1.
    """
    logits = np.asarray(logits)
    probabilities = np.empty(logits.shape)
    for rows in row_blocks(logits.shape):
        scaled = logits[rows].astype(np.float64) / temperature
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities[rows] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
