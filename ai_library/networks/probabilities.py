"""Logits become probabilities, by numpy alone, for whoever has logits but no network."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def softmax(logits: "ArrayLike") -> "NDArray[np.float64]":
    """The softmax of each row, computed in float64.

    Args:
        logits: (n, classes), of any float type; n may be 0.

    Returns:
        (n, classes) float64 in [0, 1], each row summing to 1.
    """
    logits = np.asarray(logits, np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
