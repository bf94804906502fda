"""What may be called after an epoch: functions of the history that log it elsewhere, or end the training early."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, whole_number

Callback = Callable[[list[dict[str, Any]]], bool | None]
"""Gets the history, one row an epoch as in `history.csv`; True ends the training after this epoch."""

METRICS = {"validation_loss": -1, "validation_accuracy": 1, "train_loss": -1, "train_accuracy": 1}
"""What can be watched, and whether more of it is better."""

_LEAST_LOSS = 0.01


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """A callback that ends a training which no longer improves.

    It follows from the history alone, so that a resumed run ends where an uninterrupted one does.

    Args:
        patience: Epochs without improvement after which the training ends.
        metric: What to watch, one of `METRICS`.
        least: Smallest improvement that counts.

    Raises:
        InputError: An argument is out of its bounds.
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
        """Whether the last `patience` epochs brought nothing."""
        best, waited = None, 0
        for row in history:
            value = METRICS[self.metric] * row[self.metric]
            if best is None or value > best + self.least:
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience


def out_of_patience(history: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether for so many epochs neither the loss nor the accuracy on the validation split got better.

    A loss that falls by less than `_LEAST_LOSS` in all that time does not count: on images that are easily told apart
    it goes on falling for ever.
    """
    if patience is None:
        return False
    loss = EarlyStopping(patience=patience, metric="validation_loss", least=_LEAST_LOSS)
    return loss(history) and EarlyStopping(patience=patience, metric="validation_accuracy")(history)
