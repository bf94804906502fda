"""Metrics: intervals, ranking, coverage and reliability.

The tests compare each with scikit-learn or scipy, which are not used here because their import takes longer than the
prediction of thousands of images. Ties are treated together, so that no figure depends on the order of the examples.
"""

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution, as `statistics.NormalDist().inv_cdf(0.975)` gives it."""
CALIBRATION_BINS = 15
"""Number of equally wide bins of confidence."""
COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8)
"""Coverages in `coverage_table`."""


class ReliabilityBin(NamedTuple):
    """The examples whose confidence lies from `low` to `high`."""

    low: float
    high: float
    n: int
    """Number of examples in the bin."""
    confidence: float
    """Their mean confidence. A calibrated classifier's accuracy equals it."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % interval: low, high."""


class Coverage(NamedTuple):
    """The accuracy on the most confident examples, if a person decides the others."""

    coverage: float
    """Fraction of the examples that the classifier decides."""
    n: int
    """Number of these examples."""
    confidence: float
    """The lowest confidence among them: the threshold that gives this coverage."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % interval: low, high."""


def wilson_interval(correct: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion (Wilson, JASA 22, 1927).

    Args:
        correct: Number of successes, from 0 to `n`. It need not be an integer: ties have mean counts.
        n: Number of trials, at least 1.

    Returns:
        (low, high) with 0 <= low <= correct / n <= high <= 1.
    """
    middle = (correct + _Z**2 / 2) / (n + _Z**2)
    half = _Z / (n + _Z**2) * (correct * (n - correct) / n + _Z**2 / 4) ** 0.5
    share = correct / n  # the interval contains it, but for rounding at 0 and 1
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def accuracy_interval(
    hits: np.ndarray, groups: np.ndarray | None = None, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """The 95 % interval of the share of right predictions: of every accuracy in a report.

    It is that of `grouped_interval`; or, if no two examples are of one group, that of `wilson_interval`.

    Args:
        hits: (n,) bool with n >= 1, which predictions are right.
        groups: (n,) int, the group of each example. None: all examples are independent.
        weights: (n,) float in [0, 1], the part of each example that counts. Not all are 0. None: all count wholly.

    Returns:
        (low, high) with 0 <= low <= accuracy <= high <= 1.
    """
    if weights is None:
        weights = np.ones(len(hits))
    counted = weights > 0
    if groups is None or len(np.unique(groups[counted])) == np.count_nonzero(counted):
        return wilson_interval(float(weights @ hits), float(weights.sum()))
    return grouped_interval(hits[counted], groups[counted], weights[counted])


def grouped_interval(hits: np.ndarray, groups: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The 95 % interval of a proportion of trials that come in groups.

    It is Wilson's interval for the effective sample size: the number of independent trials with the same variance
    (Kish, Survey Sampling, 1965; Korn and Graubard, Survey Methodology 24, 1998). Where groups differ in size, they
    count for fewer.

    Args:
        hits: (n,) bool, the successes.
        groups: (n,) int, the group of each trial.
        weights: (n,) float in (0, 1], the part of each trial that counts. None: all count wholly.

    Returns:
        (low, high), never narrower than that of independent trials.
    """
    share = hits.mean() if weights is None else np.average(hits, weights=weights)
    independent = effective_number(hits, groups, weights)
    return wilson_interval(float(share * independent), independent) if independent else (0.0, 1.0)


def effective_number(values: np.ndarray, groups: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The number of independent values whose mean is as uncertain as that of values in groups: see `grouped_interval`.

    Args:
        values: (n,) numbers.
        groups: (n,) int, the group of each value.
        weights: (n,) float in (0, 1], the part of each value that counts. None: all count wholly.

    Returns:
        At most the sum of the weights; 0 where the groups count for fewer than two, which do not tell how groups vary.
    """
    weights = np.ones(len(values)) if weights is None else weights
    n, mean = weights.sum(), np.average(values, weights=weights)
    _, which = np.unique(groups, return_inverse=True)
    count = float(n**2 / (np.bincount(which, weights) ** 2).sum())  # of groups; fewer if they differ in size
    if count < 2 - 1e-9:
        return 0.0
    totals = np.bincount(which, weights * (values - mean))
    variance = (totals**2).sum() / n**2 * count / (count - 1)
    independent = np.average((values - mean) ** 2, weights=weights) / variance if variance else count
    independent *= (_Z / _student(round(count - 1, 6))) ** 2  # few groups estimate the variance badly
    return float(min(n, independent))


@functools.lru_cache(maxsize=1024)
def _student(freedom):
    """The 97.5 % point of Student's t distribution with at least one degree of freedom: its density, integrated."""
    t = np.linspace(0, 13, 10_001)
    density = (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    area = np.append(0, (density[1:] + density[:-1]).cumsum() * (t[1] / 2))
    half = math.sqrt(freedom * math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return float(np.interp(0.95 * half, area, t))


def reliability_bins(
    confidence: np.ndarray, hits: np.ndarray, groups: np.ndarray | None = None
) -> list[ReliabilityBin]:
    """The bins of the reliability diagram (Guo et al., ICML 2017).

    Args:
        confidence: (n,) float in [0, 1], the probabilities of the predictions.
        hits: (n,) bool, which predictions are right.
        groups: (n,) int, the group of each example: see `accuracy_interval`.

    Returns:
        The non-empty ones of `CALIBRATION_BINS` equally wide bins, the lowest confidence first.
    """
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for i in np.unique(index):
        inside = index == i
        n, right = int(inside.sum()), int(hits[inside].sum())
        low, high = i / CALIBRATION_BINS, (i + 1) / CALIBRATION_BINS
        mean = float(confidence[inside].mean())
        interval = accuracy_interval(hits[inside], None if groups is None else groups[inside])
        bins.append(ReliabilityBin(float(low), float(high), n, mean, right / n, interval))
    return bins


def roc_auc_and_average_precision(scores: np.ndarray, positive: np.ndarray) -> tuple[float | None, float | None]:
    """The area under the ROC curve and the average precision of scores.

    The area under the ROC curve is the probability that a positive example scores higher than a negative one, where a
    tie counts half (Hanley and McNeil, Radiology 143, 1982). Average precision is the mean, over the positive examples,
    of the precision at their scores, without interpolation.

    Args:
        scores: (n,) float, higher where positive is more likely.
        positive: (n,) bool.

    Returns:
        (ROC AUC, average precision), each in [0, 1]; (None, None) if all examples are positive, or none is.
    """
    if positive.all() or not positive.any():
        return None, None
    count, hits = _by_score(scores, positive)
    misses, found = count - hits, hits.cumsum()
    roc_auc = (misses * (found - hits / 2)).sum() / (misses.sum() * found[-1])
    return float(roc_auc), float((hits * found / count.cumsum()).sum() / found[-1])


def coverage_curve(confidence: np.ndarray, hits: np.ndarray) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Accuracy against coverage (El-Yaniv and Wiener, JMLR 11, 2010), the most confident examples first.

    Examples with equal confidence each count their mean accuracy.

    Args:
        confidence: (n,) float, the probabilities of the predictions.
        hits: (n,) bool, which predictions are right.

    Returns:
        coverage: (n,) float64: 1/n, 2/n, ... 1.
        accuracy: (n,) float64, that of the 1, 2, ... n most confident examples.
    """
    count, right = _by_score(confidence, hits)
    decided = np.arange(1, len(hits) + 1)
    correct = np.interp(decided, np.append(0, count.cumsum()), np.append(0, right.cumsum()))
    return decided / len(hits), correct / decided


def coverage_table(confidence: np.ndarray, hits: np.ndarray, groups: np.ndarray | None = None) -> list[Coverage]:
    """The points of the `coverage_curve` nearest to `COVERAGES`.

    Args:
        confidence: (n,) float, the probabilities of the predictions.
        hits: (n,) bool, which predictions are right.
        groups: (n,) int, the group of each example: see `accuracy_interval`.
    """
    certain, (_, accuracy) = np.sort(confidence)[::-1], coverage_curve(confidence, hits)
    rows = []
    for share in COVERAGES:
        n = max(1, round(share * len(hits)))
        right = float(accuracy[n - 1])
        if groups is None:
            interval = wilson_interval(right * n, n)
        else:
            interval = accuracy_interval(hits, groups, _parts_decided(confidence, certain[n - 1], n))
        rows.append(Coverage(n / len(hits), n, float(certain[n - 1]), right, interval))
    return rows


def _parts_decided(confidence, lowest, n):
    """(all,) float, the part of each example among the `n` most confident; those of the `lowest` share the rest."""
    above, equal = confidence > lowest, confidence == lowest
    return above + equal * ((n - above.sum()) / equal.sum())


def _by_score(scores, positive):
    """Counts of all and of positive examples for each distinct score, the highest score first."""
    _, place = np.unique(-scores, return_inverse=True)
    return np.bincount(place), np.bincount(place, weights=positive)
