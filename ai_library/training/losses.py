"""Losses: functions of logits (b, classes) and labels (b,) that return the loss (b,) of each example."""

from dataclasses import dataclass

import jax
import optax


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
