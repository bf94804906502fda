"""Losses: functions of logits (b, classes) and labels (b,) that return the loss (b,) of each example; their weights."""

from dataclasses import dataclass

import jax
import numpy as np
import optax
from numpy.typing import ArrayLike

from ..errors import InputError


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of each example.

    With label smoothing, a fraction of the label is spread evenly over all classes (Szegedy et al., arXiv:1512.00567).
    """

    label_smoothing: float = 0.0

    def __call__(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        """The losses (b,) float32 of logits (b, classes) and labels (b,) int."""
        if not self.label_smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), self.label_smoothing)
        return optax.softmax_cross_entropy(logits, targets)


def weights_of(class_weights: ArrayLike | None) -> np.ndarray | None:
    """The class weights as float32, of any shape; None stays None. Raises `InputError` if they are no numbers."""
    try:
        return None if class_weights is None else np.asarray(class_weights, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"class_weights must be numbers here, got {class_weights!r}: only a Trainer, which knows the labels, "
            "can balance them"
        ) from error
