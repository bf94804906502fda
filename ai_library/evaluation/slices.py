"""Finds where a classifier is weak: accuracy by factors of the images, and slices with more errors than chance."""

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations, pairwise, starmap
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import InputError
from ..files.text import listed
from .metrics import accuracy_interval, effective_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BINS = 5
"""A numeric factor is divided into this many parts of equal counts."""
MAX_VALUES = 10
"""A numeric factor with at most this many distinct values is not divided: each value is a part."""
MIN_EXAMPLES = 10
"""The fewest examples of a slice that is tested."""
SIGNIFICANCE = 0.01
"""The significance level: the largest probability of returning any slice if none is weak."""


class Slice(NamedTuple):
    """Examples that share a part of one or two factors, and are wrong more often than the others.

    >>> correct = np.repeat([True, False, True], [95, 15, 90])
    >>> weakest = find_slices(correct, {"size": np.arange(200)})[0]
    >>> weakest.name, weakest.accuracy
    ('size 79.6 to 119', 0.625)

    Attributes:
        name: What the examples share, such as a range of sizes.
        n: Number of examples in the slice.
        errors: Number of wrong predictions among them.
        accuracy: The fraction of right predictions among them.
        accuracy_interval: 95 % interval: low, high. It ignores that the slice was chosen for its errors, so that the
            true accuracy lies above it in more than 2.5 % of cases.
        p_value: P value, corrected for the number of slices tested.
    """

    name: str
    n: int
    errors: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    p_value: float


class AccuracyRow(NamedTuple):
    """The accuracy on the examples of one part of a factor.

    Attributes:
        name: What the examples share, such as a range of sizes.
        n: Number of examples in the part.
        correct: Number of right predictions among them.
        accuracy: The fraction of right predictions among them.
        accuracy_interval: 95 % interval: low, high.
    """

    name: str
    n: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]


class AccuracyGrid(NamedTuple):
    """Accuracy by the parts of two factors, for a heat map."""

    rows: list[str]
    """Names of the parts of the first factor."""
    columns: list[str]
    """Names of the parts of the second factor."""
    n: np.ndarray
    """(rows, columns) int, the number of examples."""
    accuracy: np.ndarray
    """(rows, columns) float64, nan where n is 0."""


def find_slices(
    correct: "ArrayLike", factors: "Mapping[str, ArrayLike]", groups: "ArrayLike | None" = None
) -> list[Slice]:
    """Finds the slices in which errors are significantly more frequent than elsewhere.

    A slice is a part of one factor, or the intersection of the parts of two factors. Each is tested against all other
    examples by Fisher's exact test, one-sided. The p value is multiplied by the number of slices tested (Bonferroni;
    for the first slice this equals Holm's method, Scandinavian Journal of Statistics 6, 1979).

    The slice with the smallest p value is found first. Its examples are removed, and the search is repeated on the
    rest. So a slice is not found for the errors of another, and the figures of a later slice are those of its
    remaining examples.

    >>> correct = np.repeat([True, False, True], [95, 15, 90])
    >>> [(weak.name, weak.n, weak.errors) for weak in find_slices(correct, {"size": np.arange(200)})]
    [('size 79.6 to 119', 40, 15)]

    Args:
        correct: (n,) bool, which predictions are right, such as `Report.hits`.
        factors: Factors of the examples, by name: (n,) numbers, which are divided into `BINS` parts of equal counts, or
            (n,) categories. A nan or None means that the example does not have the factor.
        groups: (n,) int, the group of each example, such as `Report.groups`. The intervals and the test account for
            them: the test replaces the slice, and all other examples, by fewer independent examples, whose accuracy is
            as uncertain (after Rao and Scott, Journal of the American Statistical Association 76, 1981). A slice of
            one group is never found. None: all examples are independent.

    Returns:
        The weak slices, in the order in which they were found; an empty list if there is none.

    Raises:
        InputError: A factor does not have one value for each prediction, or infinite ones, or values of types that
            cannot be sorted together.
    """
    hits = np.asarray(correct, bool)
    wrong = ~hits
    single = [_partition(values, len(wrong), name) for name, values in factors.items()]
    partitions = [*single, *starmap(_crossed, combinations(single, 2))]
    candidates = [(partition, part) for partition in partitions for part in range(len(partition.names))]
    found, left = [], np.ones(len(wrong), bool)
    while candidates:
        n_each = _counts(partitions, left)
        tested = int(np.count_nonzero(n_each >= MIN_EXAMPLES))
        log_p = _log_p_values(n_each, _counts(partitions, left & wrong), left.sum(), wrong[left].sum())
        log_p = np.minimum(log_p + np.log(max(tested, 1)), 0)
        if groups is not None:
            for each in np.flatnonzero(log_p < np.log(SIGNIFICANCE)):  # no other can be a weak slice
                partition, part = candidates[each]
                of_groups = _grouped_log_p_value(wrong, left, partition.parts == part, np.asarray(groups))
                log_p[each] = min(of_groups + np.log(tested), 0)
        best = int(log_p.argmin())
        if log_p[best] >= np.log(SIGNIFICANCE):
            break
        partition, part = candidates[best]
        inside = left & (partition.parts == part)
        n, errors = int(inside.sum()), int(wrong[inside].sum())
        interval = _interval(hits, inside, groups)
        found.append(Slice(partition.names[part], n, errors, 1 - errors / n, interval, float(np.exp(log_p[best]))))
        left &= ~inside
    return found


def accuracy_by(correct: "ArrayLike", values: "ArrayLike", groups: "ArrayLike | None" = None) -> list[AccuracyRow]:
    """Returns the accuracy in each part of a factor.

    >>> [(row.name, row.accuracy) for row in accuracy_by([True, True, False, True], ["cat", "cat", "dog", "dog"])]
    [('cat', 1.0), ('dog', 0.5)]

    Args:
        correct: (n,) bool, which predictions are right, such as `Report.hits`.
        values: (n,) numbers or categories, as for `find_slices`.
        groups: (n,) int, the group of each example, for which the intervals account. None: all are independent.

    Returns:
        One row for each part, in the order of the values.

    Raises:
        InputError: As for `find_slices`.
    """
    correct = np.asarray(correct, bool)
    partition = _partition(values, len(correct))
    n, right = _counts([partition], slice(None)), _counts([partition], correct)
    return [
        AccuracyRow(
            *(name, int(total), int(hits), float(hits / total)), _interval(correct, partition.parts == part, groups)
        )
        for part, (name, total, hits) in enumerate(zip(partition.names, n, right, strict=True))
    ]


def accuracy_grid(correct: "ArrayLike", first: "ArrayLike", second: "ArrayLike") -> AccuracyGrid:
    """Returns the accuracy by the parts of two factors.

    >>> grid = accuracy_grid([True, True, False, True], ["a", "a", "b", "b"], [1, 2, 1, 2])
    >>> grid.accuracy.tolist()
    [[1.0, 1.0], [0.0, 1.0]]

    Args:
        correct: (n,) bool, which predictions are right, such as `Report.hits`.
        first: (n,) numbers or categories, as for `find_slices`: the rows of the grid.
        second: The same for its columns.

    Returns:
        The `AccuracyGrid`.

    Raises:
        InputError: A factor does not have one value for each prediction, or infinite ones, or values of types that
            cannot be sorted together.
    """
    correct = np.asarray(correct, bool)
    rows, columns = _partition(first, len(correct)), _partition(second, len(correct))
    shape, both = (len(rows.names), len(columns.names)), [_crossed(rows, columns)]
    n, right = _counts(both, slice(None)).reshape(shape), _counts(both, correct).reshape(shape)
    return AccuracyGrid(rows.names, columns.names, n, np.where(n > 0, right / np.maximum(n, 1), np.nan))


def _interval(hits, inside, groups):
    """The interval of the accuracy on the examples `inside` a part."""
    return accuracy_interval(hits[inside], None if groups is None else np.asarray(groups)[inside])


class _Partition(NamedTuple):
    names: list[str]
    parts: np.ndarray
    """(n,) int, indices into `names`; len(names) where an example does not have the factor."""


def _partition(values, n, factor=""):
    """The parts of a factor. Their names begin with that of the factor, if it is given."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise InputError(
            f"{_named(factor)} must have one value for each of the {n:,} predictions, got shape {values.shape}"
        )
    values, known = _known(values, factor)
    numeric = np.issubdtype(values.dtype, np.number)
    distinct, parts_of_known = _distinct(values, factor)
    if numeric and len(distinct) > MAX_VALUES:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
        parts_of_known = np.searchsorted(edges[1:-1], values, side="right")
        # Where many examples share a value, a part below it may be empty.
        kept, parts_of_known = np.unique(parts_of_known, return_inverse=True)
        edges = np.append(edges[:-1][kept], edges[-1])
        names = _told_apart(lambda shown: [f"{shown(low)} to {shown(high)}" for low, high in pairwise(edges)], 3)
    elif numeric:
        names = _told_apart(lambda shown: [shown(value) for value in distinct], 4)
    else:
        names = [str(value) for value in distinct]
    parts = np.full(n, len(names))
    parts[known] = parts_of_known
    return _Partition([f"{factor} {name}".lstrip() for name in names], parts)


def _named(factor):
    return f"factor {factor!r}" if factor else "a factor"


def _known(values, factor):
    """The values of the examples that have the factor, and (n,) bool, which these are."""
    known = ~np.isnan(values) if np.issubdtype(values.dtype, np.number) else np.ones(len(values), bool)
    if values.dtype == object:
        known = np.array([value is not None and bool(value == value) for value in values], bool)  # nan is not nan
    values = values[known]
    if values.dtype == object and all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        values = np.array(values.tolist())
    if np.issubdtype(values.dtype, np.number) and (infinite := np.count_nonzero(np.isinf(values))):
        raise InputError(
            f"{_named(factor)} must not be infinite, got {infinite:,} infinite of {len(known):,} values: replace them "
            "by nan, which leaves these examples out, or by a finite number"
        )
    return values, known


def _distinct(values, factor):
    """The distinct values in order, and for each value its place among them."""
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        types = sorted({type(value).__name__ for value in values})
        raise InputError(
            f"{_named(factor)} must have numbers or categories that can be sorted, got values of the types "
            f"{listed(types)}: convert them to strings"
        ) from error


def _told_apart(names_by, fewest):
    """The names in `fewest` significant digits or, where these leave two names equal, in as many as it takes."""
    names = names_by(lambda value: f"{value:.{fewest}g}")
    for digits in range(fewest + 1, 18):  # 17 tell all float64 apart
        if len({*names}) == len(names):
            break
        names = names_by(lambda value, digits=digits: _in_full(value, digits))
    return names


def _in_full(value, digits):
    """A number in `digits` significant digits, or all those before the point if these are more."""
    if isinstance(value, np.integer):
        return str(value)
    before = len(f"{abs(value):.0f}")
    return f"{value:.{max(digits, before) if before < 18 else digits}g}"


def _crossed(first, second):
    """The intersections of each part of one factor with each part of the other."""
    names = [f"{one}, {other}" for one in first.names for other in second.names]
    both = (first.parts < len(first.names)) & (second.parts < len(second.names))
    return _Partition(names, np.where(both, first.parts * len(second.names) + second.parts, len(names)))


def _counts(partitions, chosen):
    """(parts,) int, the number of chosen examples in each part, for all partitions in a row."""
    return np.concatenate([np.bincount(each.parts[chosen], minlength=len(each.names) + 1)[:-1] for each in partitions])


def _log_p_values(n, wrong, all_n, all_wrong):
    """Logarithms (slices,) of the p values of Fisher's exact test; 0 for slices of fewer than `MIN_EXAMPLES`.

    Args:
        n: (slices,) int, the number of examples in each slice.
        wrong: (slices,) int, the number of errors among them.
        all_n: Number of all examples.
        all_wrong: Number of all errors.
    """
    log_p = np.zeros(len(n))
    for i in np.flatnonzero((n >= MIN_EXAMPLES) & (wrong * all_n > n * all_wrong)):
        log_p[i] = _log_p_value(n[i], wrong[i], all_n, all_wrong)
    return log_p


def _grouped_log_p_value(wrong, left, inside, groups):
    """Logarithm of the p value of Fisher's exact test for a slice of examples in groups: see `find_slices`.

    Numbers of errors are rounded such that the p value gets larger.

    Args:
        wrong: (n,) bool, which predictions are wrong.
        left: (n,) bool, which examples no earlier slice has.
        inside: (n,) bool, which examples have the slice's part of the factors.
        groups: (n,) int, the group of each example.
    """
    slice_, others = left & inside, left & ~inside
    n, other_n = (int(effective_number(wrong[part].astype(float), groups[part])) for part in (slice_, others))
    if min(n, other_n) == 0:
        return 0.0
    errors, other_errors = math.floor(n * wrong[slice_].mean()), math.ceil(other_n * wrong[others].mean())
    return _log_p_value(n, errors, n + other_n, errors + other_errors)


@lru_cache(maxsize=1)
def _log_factorials(most):
    return np.append(0, np.log(np.arange(1, most + 1)).cumsum())


def _log_p_value(n, wrong, all_n, all_wrong):
    """The upper tail of the hypergeometric distribution.

    It is summed in logarithms, because the p values of large slices underflow, and their order matters.
    """
    log_factorial = _log_factorials(int(all_n))

    def log_choose(total, part):
        return log_factorial[total] - log_factorial[part] - log_factorial[total - part]

    errors = np.arange(wrong, min(n, all_wrong) + 1)
    ways = log_choose(all_wrong, errors) + log_choose(all_n - all_wrong, n - errors)
    return float(np.logaddexp.reduce(ways) - log_choose(all_n, n))
