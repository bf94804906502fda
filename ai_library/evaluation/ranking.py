"""What the order of examples by a score tells. Examples of one score are taken together, so that no figure depends on
the order they come in.
"""

from typing import NamedTuple

import numpy as np

from .intervals import wilson_interval

COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8)


class Coverage(NamedTuple):
    """The most certain examples, where the others are left to a person."""

    coverage: float
    """Their share of all examples."""
    n: int
    confidence: float
    """Of the least certain one among them: who decides from here up gets this coverage."""
    accuracy: float
    accuracy_interval: tuple[float, float]


def roc_auc_and_average_precision(scores, positive) -> tuple[float | None, float | None]:
    """How well scores (n,) tell the examples where `positive` (n,) is True from the others.

    The area under the ROC curve is the chance that a positive scores higher than a negative, where a tie counts half
    (Hanley and McNeil, Radiology 143, 1982). Average precision is the precision at each positive's score, averaged
    over the positives, without interpolation. Both are None where all examples are positive, or none is.
    """
    if positive.all() or not positive.any():
        return None, None
    count, hits = _by_score(scores, positive)
    misses, found = count - hits, hits.cumsum()
    roc_auc = (misses * (found - hits / 2)).sum() / (misses.sum() * found[-1])
    return float(roc_auc), float((hits * found / count.cumsum()).sum() / found[-1])


def coverage_curve(confidence, hits) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (n,) and accuracy (n,) where only the most certain 1, 2, ... n examples are decided and the others are
    left to a person (El-Yaniv and Wiener, JMLR 11, 2010); from confidence (n,) and hits (n,) bool. Where some of those
    with one confidence are decided, each of them counts the accuracy of all of them.
    """
    count, right = _by_score(confidence, hits)
    decided = np.arange(1, len(hits) + 1)
    correct = np.interp(decided, np.append(0, count.cumsum()), np.append(0, right.cumsum()))
    return decided / len(hits), correct / decided


def coverage_table(confidence, hits) -> list[Coverage]:
    """The points of the `coverage_curve` that are nearest to `COVERAGES`."""
    certain, (_, accuracy) = np.sort(confidence)[::-1], coverage_curve(confidence, hits)
    rows = []
    for share in COVERAGES:
        n = max(1, round(share * len(hits)))
        right = float(accuracy[n - 1])
        rows.append(Coverage(n / len(hits), n, float(certain[n - 1]), right, wilson_interval(right * n, n)))
    return rows


def _by_score(scores, positive):
    """How many examples have each score, and how many of them are positive, from the highest score down."""
    _, place = np.unique(-scores, return_inverse=True)
    return np.bincount(place), np.bincount(place, weights=positive)
