"""Whether one classifier is better than another, or the data do not tell: two reports on the same examples."""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ..errors import InputError
from .metrics import wilson_interval
from .report import Report

SIGNIFICANCE = 0.05


def compare(first: Report, second: Report) -> "Comparison":
    """Compares two classifiers by the examples that only one of them has right.

    Raises `InputError` unless both reports are on the same labels, in the same order, of the same classes.
    """
    if first.class_names != second.class_names:
        raise InputError(
            f"the first report has the classes {', '.join(first.class_names)}, the second "
            f"{', '.join(second.class_names)}: compare models that were trained on the same classes"
        )
    if not np.array_equal(first.labels, second.labels):
        raise InputError("the two reports have different labels: compare models on the same examples, in one order")
    return Comparison(
        both=int((first.hits & second.hits).sum()),
        only_first=int((first.hits & ~second.hits).sum()),
        only_second=int((~first.hits & second.hits).sum()),
        neither=int((~first.hits & ~second.hits).sum()),
    )


@dataclass(frozen=True)
class Comparison:
    """How many examples both classifiers have right, only one of them, or neither; printed, it says what follows."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.only_second - self.only_first) / self.n

    @property
    def difference_interval(self) -> tuple[float, float]:
        """95 % interval of the `difference` (Newcombe, Statistics in Medicine 17, 1998, 2635-2650, method 10): the
        Wilson intervals of the two accuracies, joined by the correlation of the two classifiers' successes.
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
        """Of McNemar's exact test, two-sided: the chance that the examples which only one of them has right would fall
        at least as unevenly to the two, were both equally good (McNemar, Psychometrika 12, 1947).
        """
        n, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        binomials = accumulate(range(fewer), lambda binomial, k: binomial * (n - k) // (k + 1), initial=1)
        return min(1.0, 2 * sum(binomials) / 2**n)

    @property
    def conclusion(self) -> str:
        """Which one is better, as far as McNemar's test tells at 5 %."""
        if self.p_value >= SIGNIFICANCE:
            return "The data do not tell which one is better."
        return f"The {'second' if self.difference > 0 else 'first'} one is better."

    def __str__(self):
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
