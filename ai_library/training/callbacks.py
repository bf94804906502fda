"""Callbacks, which get the history after each epoch: they log it elsewhere or end the training early."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, whole_number

Callback = Callable[[list[dict[str, Any]]], bool | None]
"""A function of the history, one row per epoch as in `history.csv`. Returning True ends the training."""

METRICS = {"validation_loss": -1, "validation_accuracy": 1, "train_loss": -1, "train_accuracy": 1}
"""The metrics that can be watched: 1 if higher is better, -1 if lower is."""

_LEAST_LOSS = 0.01


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """A callback that ends a training which no longer improves.

    It depends on the history alone, so that a resumed run ends after the same epoch as an uninterrupted one.

    >>> stop = EarlyStopping(patience=2)
    >>> stop([{"validation_loss": 0.5}, {"validation_loss": 0.6}, {"validation_loss": 0.7}])
    True

    Args:
        patience: Epochs without improvement after which the training ends.
        metric: The column of the history to watch: "validation_loss" or "validation_accuracy".
        least: Smallest improvement that counts.

    Raises:
        InputError: `patience` is below 1, `metric` is unknown, or `least` is negative.
    """

    patience: int = 5
    metric: str = "validation_loss"
    least: float = 0.0

    def __post_init__(self) -> None:
        whole_number("patience", self.patience, 1, 2**31)
        if self.metric not in METRICS:
            raise InputError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if not self.least >= 0:
            raise InputError(f"least must be 0 or more, got {self.least}")

    def __call__(self, history: list[dict[str, Any]]) -> bool:
        """Returns whether the last `patience` epochs brought no improvement."""
        best, waited = None, 0
        for row in history:
            value = METRICS[self.metric] * row[self.metric]
            if best is None or value > best + self.least:
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience


def out_of_patience(history: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether neither the validation loss nor the validation accuracy improved in the last `patience` epochs.

    A loss that falls by less than `_LEAST_LOSS` in all of them does not count: on easy images it falls without end.
    """
    if patience is None:
        return False
    loss = EarlyStopping(patience=patience, metric="validation_loss", least=_LEAST_LOSS)
    return loss(history) and EarlyStopping(patience=patience, metric="validation_accuracy")(history)
