"""Temperature scaling: calibrates probabilities by one number, so that of predictions at 90 % about 90 % are right."""

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, check_labels
from ..networks.probabilities import softmax

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

TEMPERATURES = (0.05, 20.0)
"""The bounds of a fitted temperature."""


def fit_temperature(logits: "ArrayLike", labels: "ArrayLike") -> float:
    """Fits the temperature t for which softmax(logits / t) has the least log loss (Guo et al., ICML 2017).

    A temperature above 1 means that the classifier was overconfident. Fit it on examples that the classifier was not
    trained on.

    >>> round(fit_temperature([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], [0, 0, 1, 1]), 2)
    3.64

    Args:
        logits: (n, classes) float with n >= 1, all finite. Logarithms of probabilities may be used too.
        labels: (n,) int, the true classes, from 0 to classes - 1.

    Returns:
        A temperature within `TEMPERATURES`. It is 1 if every example is right: the loss would then only decrease with
        t, and the examples do not tell how often the classifier errs.

    Raises:
        InputError: The shapes differ from those above, a logit is not finite, or a label is not among the classes.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != 2:
        raise InputError(f"logits must be (n, classes), got {logits.shape}: pass a row for each example")
    if not np.isfinite(logits).all():
        raise InputError("logits must be finite, got nan or infinity: train the network with a lower learning rate")
    check_labels(labels, *logits.shape)
    beyond = logits - np.take_along_axis(logits, labels[:, None], axis=1)
    if (beyond <= 0).all():
        return 1.0
    # The loss, the mean of log(sum(exp(beyond / t))), is convex in 1 / t: its slope changes its sign once.
    low, high = np.log(TEMPERATURES)
    middle = (low + high) / 2
    for _ in range(49):
        slope = (softmax(beyond / np.exp(middle)) * beyond).sum(axis=1).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)
        middle = (low + high) / 2
    return float(np.exp(middle))
