"""Compares two classifiers on the same examples: is one better, or may the difference be chance?"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ..data.class_names import nfc
from ..errors import InputError
from ..files.text import listed
from .metrics import wilson_interval
from .report import Report

SIGNIFICANCE = 0.05
"""The p value below which one classifier is called better."""


def compare(first: Report, second: Report) -> "Comparison":
    """Compares two classifiers by the examples that only one of them has right.

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
        InputError: The reports have different classes or different labels.
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
    return Comparison(
        both=int((first.hits & second.hits).sum()),
        only_first=int((first.hits & ~second.hits).sum()),
        only_second=int((~first.hits & second.hits).sum()),
        neither=int((~first.hits & ~second.hits).sum()),
    )


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
    """

    both: int
    only_first: int
    only_second: int
    neither: int

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
        (Newcombe, Statistics in Medicine 17, 1998, 2635-2650, method 10).
        """
        both, first, second, neither, n = self.both, self.only_first, self.only_second, self.neither, self.n
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
            self.difference - half(high_1 - accuracy_1, accuracy_2 - low_2),
            self.difference + half(accuracy_1 - low_1, high_2 - accuracy_2),
        )

    @property
    def p_value(self) -> float:
        """The p value of McNemar's exact test, two-sided (McNemar, Psychometrika 12, 1947).

        It is the probability, if both classifiers were equally good, that the examples which only one has right are
        divided at least this unevenly.
        """
        n, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        binomials = accumulate(range(fewer), lambda binomial, k: binomial * (n - k) // (k + 1), initial=1)
        return min(1.0, 2 * sum(binomials) / 2**n)

    @property
    def conclusion(self) -> str:
        """One sentence: which classifier is better by McNemar's test at 5 %, if either is."""
        if self.p_value >= SIGNIFICANCE:
            return "The data do not tell which one is better."
        return f"The {'second' if self.difference > 0 else 'first'} one is better."

    def __str__(self) -> str:
        lines = []
        for name, only in (("first", self.only_first), ("second", self.only_second)):
            right = self.both + only
            low, high = wilson_interval(right, self.n)
            lines.append(
                f"{name:<12}{right / self.n:.2%}  (95 % interval {low:.2%} to {high:.2%}, n = {self.n:,}; "
                f"{only:,} only this one has right)"
            )
        low, high = (100 * bound for bound in self.difference_interval)
        lines.append(
            f"difference  {100 * self.difference:+.2f} points  (95 % interval {low:+.2f} to {high:+.2f}; "
            f"McNemar's exact test: p = {self.p_value:.2g})"
        )
        return "\n".join([*lines, self.conclusion])
