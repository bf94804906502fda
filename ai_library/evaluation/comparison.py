"""Compares two classifiers on the same examples: is one better, or may the difference be chance?"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from ..data.class_names import nfc
from ..errors import InputError
from ..files.text import counted, listed
from .metrics import effective_number, grouped_interval, wilson_interval
from .report import Report

SIGNIFICANCE = 0.05
"""The p value below which one classifier is called better."""


def compare(first: Report, second: Report) -> "Comparison":
    """Compares two classifiers by the examples that only one of them has right.

    Where the examples come in groups (`Report.groups`), the groups are the units of the test and of all intervals. If
    only one report has groups, they are taken for both, since the examples are the same.

    >>> labels, names = np.zeros(30, int), ("cat", "dog")
    >>> always, mostly = np.array([[0.9, 0.1]] * 30), np.array([[0.9, 0.1]] * 20 + [[0.2, 0.8]] * 10)
    >>> compared = compare(Report(always, labels, names), Report(mostly, labels, names))
    >>> compared.only_first, compared.only_second, round(compared.p_value, 4)
    (10, 0, 0.002)

    Args:
        first: The report of one classifier.
        second: The report of the other, on the same examples in the same order.

    Returns:
        A `Comparison`, which prints both accuracies, their difference and a conclusion.

    Raises:
        InputError: The reports have different classes, labels or groups.
    """
    if [*map(nfc, first.class_names)] != [*map(nfc, second.class_names)]:
        raise InputError(
            f"both reports must have the same classes, got {listed(first.class_names)} in the first and "
            f"{listed(second.class_names)} in the second: compare models that were trained on the same classes"
        )
    if not np.array_equal(first.labels, second.labels):
        found = f"{first.n:,} and {second.n:,} labels"
        if first.n == second.n:
            found = f"{np.count_nonzero(first.labels != second.labels):,} of {first.n:,} labels that differ"
        raise InputError(
            f"both reports must have the same labels in the same order, got {found}: evaluate both models on the same "
            "examples"
        )
    kinds = 3 - 2 * first.hits - second.hits  # in the order of the attributes of `Comparison`
    both, only_first, only_second, neither = np.bincount(kinds, minlength=4).tolist()
    by_group = _counts_by_group(kinds, _common_groups(first, second))
    return Comparison(both, only_first, only_second, neither, by_group)


def _common_groups(first, second):
    """(n,) int, the groups of the examples of both reports; None if neither has groups."""
    if first.groups is None or second.groups is None:
        return second.groups if first.groups is None else first.groups
    if not np.array_equal(first.groups, second.groups):
        found = f"{len(first.groups):,} and {len(second.groups):,} groups"
        if len(first.groups) == len(second.groups):
            found = f"{np.count_nonzero(first.groups != second.groups):,} of {first.n:,} groups that differ"
        raise InputError(
            f"both reports must have the same groups in the same order, got {found}: evaluate both models on the same "
            "examples, with the same groups"
        )
    return first.groups


def _counts_by_group(kinds, groups):
    """The counts of the kinds 0 to 3 in each group; () if every example is a group of its own."""
    if groups is None:
        return ()
    names, which = np.unique(groups, return_inverse=True)
    if len(names) == len(kinds):
        return ()
    counts = np.bincount(4 * which + kinds, minlength=4 * len(names)).reshape(-1, 4).tolist()
    return tuple((both, only_first, only_second, neither) for both, only_first, only_second, neither in counts)


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same examples, counted by which of the two is right. `print` it for the conclusion.

    >>> labels = np.zeros(30, int)
    >>> good, bad = np.array([[0.9, 0.1]] * 30), np.array([[0.9, 0.1]] * 20 + [[0.2, 0.8]] * 10)
    >>> compared = compare(Report(bad, labels, ("cat", "dog")), Report(good, labels, ("cat", "dog")))
    >>> round(compared.difference, 3), compared.conclusion
    (0.333, 'The second one is better.')

    Attributes:
        both: Number of examples that both classifiers have right.
        only_first: Number that only the first has right.
        only_second: Number that only the second has right.
        neither: Number that neither has right.
        groups: These four numbers for each group of examples; empty if all examples are independent.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    groups: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first, in [-1, 1]."""
        return (self.only_second - self.only_first) / self.n

    @property
    def difference_interval(self) -> tuple[float, float]:
        """(low, high), the 95 % interval of the `difference`.

        It combines the Wilson intervals of the two accuracies with the correlation between the classifiers' successes
        (Newcombe, Statistics in Medicine 17, 1998, 2635-2650, method 10). With groups, the counts are scaled to the
        number of independent examples whose difference is as uncertain (see `effective_number`); it is then (-1, 1)
        for a single group.
        """
        counts = self.both, self.only_first, self.only_second, self.neither
        if not self.groups:
            return _newcombe_interval(*counts)
        first, second, groups = self._examples()
        independent = effective_number(second.astype(int) - first, groups)
        return _newcombe_interval(*(each * independent / self.n for each in counts)) if independent else (-1.0, 1.0)

    @property
    def accuracy_intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The 95 % intervals (low, high) of the accuracy of the first and of the second: see `Report`."""
        if not self.groups:
            first, second = (wilson_interval(self.both + only, self.n) for only in (self.only_first, self.only_second))
            return first, second
        first, second, groups = self._examples()
        return grouped_interval(first, groups), grouped_interval(second, groups)

    def _examples(self):
        """(n,) each, ordered by group: whether the first and the second have an example right, and its group."""
        counts = np.array(self.groups)
        kinds = np.repeat(np.tile(range(4), len(counts)), counts.ravel())
        return kinds < 2, kinds % 2 == 0, np.repeat(np.arange(len(counts)), counts.sum(axis=1))

    @cached_property
    def p_value(self) -> float:
        """The p value of McNemar's exact test, two-sided (McNemar, Psychometrika 12, 1947).

        It is the probability, if both classifiers were equally good, that the examples which only one has right are
        divided at least this unevenly. With groups, it is that of the exact sign-flip test of the groups' differences
        (Fisher, The Design of Experiments, 1935, section 21): the share of all ways to exchange the two classifiers
        within groups by which they differ at least this much. If each example is a group, both tests are the same.
        """
        if self.groups:
            return _sign_flip_p([second - first for _, first, second, _ in self.groups])
        n, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        binomials = accumulate(range(fewer), lambda binomial, k: binomial * (n - k) // (k + 1), initial=1)
        return min(1.0, 2 * sum(binomials) / 2**n)

    @property
    def conclusion(self) -> str:
        """One sentence: which classifier is better by the `p_value` at 5 %, if either is."""
        if self.p_value >= SIGNIFICANCE:
            return "The data do not tell which one is better."
        return f"The {'second' if self.difference > 0 else 'first'} one is better."

    def __str__(self) -> str:
        groups = f" in {counted(len(self.groups), 'group')}" if self.groups else ""
        test = "sign-flip test of the groups" if self.groups else "McNemar's exact test"
        lines = []
        for name, only, (low, high) in zip(
            ("first", "second"), (self.only_first, self.only_second), self.accuracy_intervals, strict=True
        ):
            lines.append(
                f"{name:<12}{(self.both + only) / self.n:.2%}  (95 % interval {low:.2%} to {high:.2%}, "
                f"n = {self.n:,}{groups}; {only:,} only this one has right)"
            )
        low, high = (100 * bound for bound in self.difference_interval)
        lines.append(
            f"difference  {100 * self.difference:+.2f} points  (95 % interval {low:+.2f} to {high:+.2f}; "
            f"{test}: p = {self.p_value:.2g})"
        )
        return "\n".join([*lines, self.conclusion])


def _newcombe_interval(both, first, second, neither):
    """(low, high), the 95 % interval of the difference from the four counts, which need not be integers."""
    n = both + first + second + neither
    difference = (second - first) / n
    covariance = both * neither - first * second
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    correlation = covariance / margins**0.5 if margins else 0.0

    (low_1, high_1), (low_2, high_2) = wilson_interval(both + first, n), wilson_interval(both + second, n)
    accuracy_1, accuracy_2 = (both + first) / n, (both + second) / n

    def half(gap_1, gap_2):
        return max(gap_1**2 - 2 * correlation * gap_1 * gap_2 + gap_2**2, 0) ** 0.5

    return (
        difference - half(high_1 - accuracy_1, accuracy_2 - low_2),
        difference + half(accuracy_1 - low_1, high_2 - accuracy_2),
    )


def _sign_flip_p(differences):
    """The exact two-sided p value of the sign-flip test of integers: see `Comparison.p_value`.

    Since they are integers, all 2^n ways to set the signs are counted by their sums, for any n and without scipy.
    """
    sizes = np.abs(differences)
    most = int(sizes.sum() - abs(sum(differences))) // 2  # what the rarer sign has together, as observed
    chances = np.zeros(most + 1)  # that the negative ones sum to 0, 1, ... most if each sign is tossed
    chances[0] = 1
    for size in sizes[sizes > 0]:
        chances[size:] += chances[:-size]
        chances /= 2
    return min(1.0, 2 * float(chances.sum()))
