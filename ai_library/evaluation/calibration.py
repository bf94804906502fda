"""Whether a confidence of 90 % is right in 90 % of the cases, and the temperature that mends it where it is not."""

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..networks.probabilities import softmax
from .intervals import wilson_interval

CALIBRATION_BINS = 15
TEMPERATURES = (0.05, 20.0)
"""The bounds of a fitted temperature."""


class ReliabilityBin(NamedTuple):
    """The examples whose confidence lies from `low` to `high`."""

    low: float
    high: float
    n: int
    confidence: float
    """Their mean confidence: a calibrated classifier's accuracy."""
    accuracy: float
    accuracy_interval: tuple[float, float]


def reliability_bins(confidence, hits) -> list[ReliabilityBin]:
    """The reliability diagram (Guo et al., ICML 2017) of confidence (n,) and hits (n,) bool: `CALIBRATION_BINS` equally
    wide bins of confidence, without the empty ones.
    """
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for i in np.unique(index):
        inside = index == i
        n, right = int(inside.sum()), int(hits[inside].sum())
        low, high = i / CALIBRATION_BINS, (i + 1) / CALIBRATION_BINS
        mean = float(confidence[inside].mean())
        bins.append(ReliabilityBin(float(low), float(high), n, mean, right / n, wilson_interval(right, n)))
    return bins


def fit_temperature(logits, labels) -> float:
    """The temperature t within `TEMPERATURES` for which softmax(logits / t) has the least log loss (Guo et al., ICML
    2017); above 1 the classifier was too sure of itself. To be fitted on examples that it was not trained on.

    Args:
        logits: (n, classes); logarithms of probabilities do as well.
        labels: (n,) int, the true classes.

    1 where every example is right: the loss then falls with t without end, and nothing tells how often the classifier
    errs. Raises `InputError` for arrays that do not fit together or are not finite.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size or not np.isfinite(logits).all():
        raise InputError(
            f"{labels.shape} labels and {logits.shape} logits do not fit: a temperature needs 1 example or more, each "
            "with its label and finite logits"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InputError(f"labels run from {labels.min()} to {labels.max()}, the classes to {logits.shape[1] - 1}")
    beyond = logits - np.take_along_axis(logits, labels[:, None], axis=1)
    if (beyond <= 0).all():
        return 1.0
    # The loss, the mean of log(sum(exp(beyond / t))), is convex in 1 / t: its slope changes its sign once.
    low, high = np.log(TEMPERATURES)
    for _ in range(50):
        middle = (low + high) / 2
        slope = (softmax(beyond / np.exp(middle)) * beyond).sum(axis=1).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return float(np.exp(middle))
