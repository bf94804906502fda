"""Where a classifier is weak: accuracy by what the images show, and the slices whose errors are more than chance."""

from itertools import combinations, pairwise, starmap
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .intervals import wilson_interval

BINS = 5
"""Parts of equal count that a numeric factor is cut into."""
MAX_VALUES = 10
"""A numeric factor with up to this many distinct values is not cut, but taken by value."""
MIN_EXAMPLES = 10
"""Smaller slices are not tested."""
SIGNIFICANCE = 0.01
"""Chance, at most, that any slice at all is named where none is weak."""


class Slice(NamedTuple):
    """Examples that have one or two factors in common, and are wrong more often than the others."""

    name: str
    n: int
    errors: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    """Of 95 %, as if the slice had not been chosen for its errors: the true accuracy lies above it more often."""
    p_value: float
    """Corrected for the number of slices that were tested."""


class AccuracyRow(NamedTuple):
    """The examples of one part of a factor."""

    name: str
    n: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]


class AccuracyGrid(NamedTuple):
    """Accuracy by two factors, as a heat map shows it."""

    rows: list[str]
    columns: list[str]
    n: np.ndarray
    """(rows, columns) int."""
    accuracy: np.ndarray
    """(rows, columns) float64; nan where n is 0."""


def find_slices(correct, factors) -> list[Slice]:
    """The slices in which errors are more frequent than elsewhere by more than chance.

    A slice is a part of one factor, or what parts of two factors have in common. The one that chance explains least
    comes first: neither a piece of a weak slice nor a larger one around it holds as much evidence. Its examples are
    then put aside, and the search goes on among the others, so that no slice is named for another's errors: the figures
    of a later slice are those of its examples that were left.

    Each is tested against all other examples by Fisher's exact test, one-sided, its p value multiplied by the number
    of slices tested (Bonferroni; for the first slice the same as Holm's, Scandinavian Journal of Statistics 6, 1979).

    Args:
        correct: (n,) bool, which predictions are right: `Report.hits`.
        factors: What is known of the examples: names, each with (n,) numbers, which are cut into `BINS` parts of equal
            count, or (n,) categories. Where a number is nan, the factor does not apply.

    Raises `InputError` for a factor of another length.
    """
    wrong = ~np.asarray(correct, bool)
    single = [_partition(values, len(wrong), name) for name, values in factors.items()]
    partitions = [*single, *starmap(_crossed, combinations(single, 2))]
    candidates = [(partition, part) for partition in partitions for part in range(len(partition.names))]
    found, left = [], np.ones(len(wrong), bool)
    while candidates:
        log_p = _log_p_values(
            _counts(partitions, left), _counts(partitions, left & wrong), left.sum(), wrong[left].sum()
        )
        best = int(log_p.argmin())
        if log_p[best] >= np.log(SIGNIFICANCE):
            break
        partition, part = candidates[best]
        inside = left & (partition.parts == part)
        n, errors = int(inside.sum()), int(wrong[inside].sum())
        interval = wilson_interval(n - errors, n)
        found.append(Slice(partition.names[part], n, errors, 1 - errors / n, interval, float(np.exp(log_p[best]))))
        left &= ~inside
    return found


def accuracy_by(correct, values) -> list[AccuracyRow]:
    """Accuracy in each part of a factor, in their order: `correct` (n,) bool, and `values` as in `find_slices`."""
    correct = np.asarray(correct, bool)
    partition = _partition(values, len(correct))
    n, right = _counts([partition], slice(None)), _counts([partition], correct)
    return [
        AccuracyRow(name, int(total), int(hits), float(hits / total), wilson_interval(int(hits), int(total)))
        for name, total, hits in zip(partition.names, n, right, strict=True)
    ]


def accuracy_grid(correct, first, second) -> AccuracyGrid:
    """Accuracy by the parts of two factors: `correct` (n,) bool, and the values of both as in `find_slices`."""
    correct = np.asarray(correct, bool)
    rows, columns = _partition(first, len(correct)), _partition(second, len(correct))
    shape, both = (len(rows.names), len(columns.names)), [_crossed(rows, columns)]
    n, right = _counts(both, slice(None)).reshape(shape), _counts(both, correct).reshape(shape)
    return AccuracyGrid(rows.names, columns.names, n, np.where(n > 0, right / np.maximum(n, 1), np.nan))


class _Partition(NamedTuple):
    names: list[str]
    parts: np.ndarray
    """(n,) int: indices into the names; their number where the factor does not apply."""


def _partition(values, n, factor=""):
    """The parts of a factor; their names begin with its own where it is given."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise InputError(
            f"factor {factor!r} has the shape {values.shape}: it needs a value for each of {n} predictions"
        )
    numeric = np.issubdtype(values.dtype, np.number)
    known = ~np.isnan(values) if numeric else np.ones(n, bool)
    distinct, parts_of_known = np.unique(values[known], return_inverse=True)
    if numeric and len(distinct) > MAX_VALUES:
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)))
        parts_of_known = np.searchsorted(edges[1:-1], values[known], side="right")
        # Between a quantile just below a value that many have and that value there may be nothing.
        kept, parts_of_known = np.unique(parts_of_known, return_inverse=True)
        edges = np.append(edges[:-1][kept], edges[-1])
        names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    else:
        names = [f"{value:.4g}" if numeric else str(value) for value in distinct]
    parts = np.full(n, len(names))
    parts[known] = parts_of_known
    return _Partition([f"{factor} {name}".lstrip() for name in names], parts)


def _crossed(first, second):
    """What each part of one factor has in common with each of the other."""
    names = [f"{one}, {other}" for one in first.names for other in second.names]
    both = (first.parts < len(first.names)) & (second.parts < len(second.names))
    return _Partition(names, np.where(both, first.parts * len(second.names) + second.parts, len(names)))


def _counts(partitions, chosen):
    """How many of the chosen examples lie in each part, over all partitions."""
    return np.concatenate([np.bincount(each.parts[chosen], minlength=len(each.names) + 1)[:-1] for each in partitions])


def _log_p_values(n, wrong, all_n, all_wrong):
    """Logarithms of the corrected p values of slices of `n` (slices,) examples, `wrong` (slices,) of them errors.

    The chance of so many errors or more is the tail of the hypergeometric distribution. It is summed as logarithms:
    those of large slices are too small for a float, but their order tells which one comes first.
    """
    log_factorial = np.append(0, np.log(np.arange(1, all_n + 1)).cumsum())

    def log_choose(total, part):
        return log_factorial[total] - log_factorial[part] - log_factorial[total - part]

    tested, log_p = n >= MIN_EXAMPLES, np.zeros(len(n))
    for i in np.flatnonzero(tested & (wrong * all_n > n * all_wrong)):
        errors = np.arange(wrong[i], min(n[i], all_wrong) + 1)
        ways = log_choose(all_wrong, errors) + log_choose(all_n - all_wrong, n[i] - errors)
        log_p[i] = np.logaddexp.reduce(ways) - log_choose(all_n, n[i])
    return np.minimum(log_p + np.log(max(tested.sum(), 1)), 0)
