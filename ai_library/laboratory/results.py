"""The results of a study: the figures of its conditions, and which conditions differ."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.text import counted, listed
from .statistics import (
    FEWEST_RESAMPLED,
    LEVEL,
    Estimate,
    PairedTest,
    fewest_for_sign_flip,
    holm,
    interquartile_mean,
    mean,
    paired_test,
    probability_better,
    seeds_needed,
)

METRICS = {
    "accuracy": True,
    "macro_f1": True,
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "ece": False,
}
"""The metrics by which conditions can be compared, and whether higher is better."""
_COLUMNS = ("condition", "seed", "outcome", "n", *METRICS, "temperature", "epoch", "epochs", "validation_accuracy")
NO_DIFFERENCE = "no difference found"


class ConditionSummary(NamedTuple):
    """The figures of one condition.

    Attributes:
        name: The name of the condition.
        values: (n,) the metric of each run, in the order of the seeds.
        mean: Their mean, with Student's 95 % interval.
        deviation: Their standard deviation; nan for a single run.
        interquartile_mean: The mean of the middle half, with its bootstrap interval, which is nan for fewer than 10
            runs: it would be too narrow.
        diverged: Number of runs whose loss became infinite or nan; they have no value.
        missing: Number of unfinished runs.
    """

    name: str
    values: NDArray[np.float64]
    mean: Estimate
    deviation: float
    interquartile_mean: Estimate
    diverged: int
    missing: int


class ConditionComparison(NamedTuple):
    """A paired comparison of two conditions, over the seeds that both have.

    Attributes:
        first: The condition that is compared with, such as the baseline.
        second: The condition that is compared.
        differences: (n,) the metric of the second minus that of the first, per seed.
        difference: Their mean, with Student's 95 % interval.
        test: The paired test that decides; see `paired_test`.
        corrected_p: Its p value after Holm's correction for the number of comparisons.
        probability: The probability that a run of the second beats that of the first with the same seed.
        seeds_needed: Number of seeds that a new study needs to find this difference; None: more than 1,000, or unknown.
        conclusion: Which condition is better, or that no difference was found.
    """

    first: str
    second: str
    differences: NDArray[np.float64]
    difference: Estimate
    test: PairedTest
    corrected_p: float
    probability: Estimate
    seeds_needed: int | None
    conclusion: str


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """The finished runs of a study. `print` it for its figures and conclusions.

    >>> accuracy = {("a", 0): 0.90, ("a", 1): 0.92, ("a", 2): 0.91, ("b", 0): 0.95, ("b", 1): 0.96, ("b", 2): 0.97}
    >>> runs = {run: {"accuracy": value} for run, value in accuracy.items()}
    >>> results = StudyResults(conditions=("a", "b"), seeds=(0, 1, 2), runs=runs)
    >>> comparison = results.comparisons[0]
    >>> round(comparison.difference.value, 3), comparison.test.name
    (0.05, 't')

    Args:
        conditions: Names of the conditions, in their order.
        seeds: The seeds of each condition.
        runs: The metrics of each finished run, as in a row of `runs.csv`, by (condition, seed).
        split: The split of the source on which the runs are evaluated.
        metric: The metric by which conditions are compared, a name in `METRICS`.
        baseline: The condition with which all others are compared. None: all pairs are compared.

    Raises:
        InputError: There is no such metric or baseline.
    """

    conditions: Sequence[str]
    seeds: Sequence[int]
    runs: Mapping[tuple[str, int], Mapping[str, Any]]
    split: str = "evaluation"
    metric: str = "accuracy"
    baseline: str | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.baseline is not None and self.baseline not in self.conditions:
            raise InputError(f"baseline must be one of {listed(self.conditions)}, got {self.baseline!r}")

    def values(self, condition: str) -> dict[int, float]:
        """The metric of the finished runs of a condition, by seed."""
        found = {seed: self.runs.get((condition, seed), {}).get(self.metric) for seed in self.seeds}
        return {seed: value for seed, value in found.items() if value is not None}

    @cached_property
    def summaries(self) -> list[ConditionSummary]:
        """The figures of each condition with a finished run."""
        found = []
        for name in self.conditions:
            values = np.array([*self.values(name).values()])
            rows = [self.runs[name, seed] for seed in self.seeds if (name, seed) in self.runs]
            diverged = sum(row.get("outcome") == "diverged" for row in rows)
            nothing = Estimate(math.nan, math.nan, math.nan)
            found.append(
                ConditionSummary(
                    name=name,
                    values=values,
                    mean=mean(values) if len(values) else nothing,
                    deviation=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                    interquartile_mean=_middle_half(values) if len(values) else nothing,
                    diverged=diverged,
                    missing=len(self.seeds) - len(rows),
                )
            )
        return found

    @cached_property
    def comparisons(self) -> list[ConditionComparison]:
        """The comparisons of all pairs, or of each condition with the baseline, that share at least two seeds."""
        paired = [(first, second, self._differences(first, second)) for first, second in self._pairs()]
        paired = [each for each in paired if len(each[2]) > 1]
        tests = [paired_test(differences, len(paired)) for *_, differences in paired]
        corrected = holm([test.p_value for test in tests])
        return [
            ConditionComparison(
                first=first,
                second=second,
                differences=differences,
                difference=(difference := mean(differences)),
                test=test,
                corrected_p=p,
                probability=probability_better(differences if METRICS[self.metric] else -differences),
                seeds_needed=seeds_needed(differences, len(paired)),
                conclusion=self._conclusion(first, second, difference.value, p),
            )
            for (first, second, differences), test, p in zip(paired, tests, corrected, strict=True)
        ]

    def _pairs(self):
        if self.baseline is None:
            return combinations(self.conditions, 2)
        return [(self.baseline, name) for name in self.conditions if name != self.baseline]

    def _differences(self, first, second):
        one, other = self.values(first), self.values(second)
        return np.array([other[seed] - one[seed] for seed in self.seeds if seed in one and seed in other])

    def _conclusion(self, first, second, difference, p):
        if p >= LEVEL:
            return NO_DIFFERENCE
        return f"{second if (difference > 0) == METRICS[self.metric] else first} is better"

    @property
    def notes(self) -> list[str]:
        """Sentences on what was left out, which test decided, and what it assumes."""
        found = []
        if missing := sum(each.missing for each in self.summaries):
            found.append(f"{counted(missing, 'run')} of {len(self.conditions) * len(self.seeds)} not finished yet.")
        if diverged := sum(each.diverged for each in self.summaries):
            found.append(
                f"{counted(diverged, 'run')} diverged: the loss became infinite. They have no figure, and their seeds "
                "are left out of the differences."
            )
        if not (compared := len(self.comparisons)):
            return found
        least = fewest_for_sign_flip(compared)
        if any(each.test.name == "t" for each in self.comparisons):
            fewest = min(len(each.differences) for each in self.comparisons if each.test.name == "t")
            found.append(
                f"The paired t test decides; it assumes that the differences are spread normally, which {fewest} seeds "
                f"cannot show. The sign-flip test needs no such assumption, but with {fewest} seeds its p value is "
                f"never below {2 / 2**fewest:.2g}, and {_compared(compared)} it can decide from {least} seeds on."
            )
        flipped = [len(each.differences) for each in self.comparisons if each.test.name == "sign flip"]
        if any(n >= least for n in flipped):
            found.append("The sign-flip test decides; it assumes no distribution.")
        if any(n < least for n in flipped):
            found.append(
                "The t test is undefined for equal differences, and with so few of them the sign-flip test cannot be "
                "significant."
            )
        if compared > 1:
            found.append(f"p values are corrected for {compared} comparisons (Holm).")
        return found

    def shown(self, value: float, sign: bool = False) -> str:
        """Formats a value of the metric, or with `sign` a difference; accuracies in percent."""
        if math.isnan(value):
            return "-"
        if self.metric == "accuracy":
            return f"{100 * value:+.2f}" if sign else f"{value:.2%}"
        return f"{value:+.4f}" if sign else f"{value:.4f}"

    def interval(self, estimate: Estimate, sign: bool = False) -> str:
        """Formats the interval of an estimate; "-" if it has none."""
        if math.isnan(estimate.low):
            return "-"
        return f"{self.shown(estimate.low, sign)} to {self.shown(estimate.high, sign)}"

    def table(self) -> bytes:
        """The content of `runs.csv`: one row per finished run, condition by condition, with unknown values empty."""
        text = io.StringIO()
        rows = csv.DictWriter(text, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        for name in self.conditions:
            for seed in self.seeds:
                if (name, seed) in self.runs:
                    rows.writerow({**self.runs[name, seed], "condition": name, "seed": seed})
        return text.getvalue().encode()

    def __str__(self) -> str:
        wide = max(map(len, [*self.conditions, "condition"]))
        lines = [f"{self.metric} on {self.split}, mean over seeds with 95 % interval\n"]
        for each in self.summaries:
            figures = f"{self.shown(each.mean.value)}  ({self.interval(each.mean)}; n = {len(each.values)})"
            middle = f"deviation {self.shown(each.deviation)}, middle half {self.shown(each.interquartile_mean.value)}"
            lines.append(f"{each.name:<{wide}}  {figures}  {middle}")
        lines.append("")
        for each in self.comparisons:
            unit = " points" if self.metric == "accuracy" else ""
            difference, p = self.shown(each.difference.value, sign=True), each.probability
            lines += [
                f"{each.second} against {each.first}: {each.conclusion}",
                f"  difference {difference}{unit} ({self.interval(each.difference, sign=True)}), "
                f"{each.test.name} test p = {each.test.p_value:.2g}, corrected {each.corrected_p:.2g}",
                f"  {each.second} beats {each.first} in {p.value:.0%} of the seeds ({p.low:.0%} to {p.high:.0%}); "
                f"{needed(each)}",
            ]
        return "\n".join([*lines, *(["", *self.notes] if self.notes and self.comparisons else self.notes)])


def _middle_half(values):
    found = interquartile_mean(values)
    return found if len(values) >= FEWEST_RESAMPLED else Estimate(found.value, math.nan, math.nan)


def needed(comparison: ConditionComparison) -> str:
    """A sentence on the number of seeds that a comparison needs."""
    if comparison.seeds_needed is None:
        return "a new study would need more than 1,000 seeds for a difference like this, or too few runs are done"
    return f"a new study finds a difference like this with {comparison.seeds_needed:,} seeds in 80 % of cases"


def _compared(count):
    return "for one comparison" if count == 1 else f"for {count} comparisons"
