"""How the error depends on the number of training images or on the share of wrong labels, over the seeds of a study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.text import counted
from .results import METRICS, StudyResults
from .statistics import Estimate, mean


@dataclass(frozen=True, eq=False, kw_only=True)
class ErrorCurve:
    """The error at several levels, and the line through it of each seed. `print` it for a table.

    Attributes:
        what: What the levels are, such as "training images".
        levels: (k,) the levels, rising.
        errors: (n, k) the error of each seed at each level.
        power_law: Whether the line is straight in the logarithms of both, error = factor * level ** slope; else it is
            error = factor + slope * level.
        left_out: How many seeds have no error at one of the levels, and so no line.
    """

    what: str
    levels: NDArray[np.float64]
    errors: NDArray[np.float64]
    power_law: bool
    left_out: int

    @property
    def at_levels(self) -> list[Estimate]:
        """The mean error at each level, with Student's 95 % interval."""
        return [mean(column) for column in self.errors.T]

    @property
    def slope(self) -> Estimate:
        """The slope, of a power law its exponent: the mean of those of the seeds, with Student's 95 % interval."""
        return mean(self._lines[0])

    @property
    def factor(self) -> Estimate:
        """The factor, or the error at level 0, with its 95 % interval."""
        return self._seen(mean(self._lines[1]))

    def at(self, level: float) -> Estimate:
        """The error that the line gives at a level, with the 95 % interval of the line.

        Beyond the levels that were measured it holds as far as the line does, which no interval knows.
        """
        slopes, factors = self._lines
        return self._seen(mean(factors + slopes * (math.log(level) if self.power_law else level)))

    @property
    def _lines(self):
        """Slope and factor (n,) of each seed, by least squares; of a power law those of the logarithms."""
        if self.power_law:
            return np.polyfit(np.log(self.levels), np.log(self.errors.T), 1)
        return np.polyfit(self.levels, self.errors.T, 1)

    def _seen(self, estimate):
        return Estimate(*map(math.exp, estimate)) if self.power_law else estimate

    def __str__(self) -> str:
        lines = [f"{self.what:>18}  error, 95 % interval, and what the line gives"]
        for level, found in zip(self.levels.tolist(), self.at_levels, strict=True):
            lines.append(f"{level:>18,g}  {_shown(found)}  {self.at(level).value:.4f}")
        law = f"{self.factor.value:.3g} * x ^ s" if self.power_law else f"{self.factor.value:.3g} + s x"
        lines.append(f"error = {law}, s = {_shown(self.slope)}, {counted(len(self.errors), 'seed')}")
        if self.left_out:
            lines.append(f"left out, without an error at one of the levels: {counted(self.left_out, 'seed')}")
        return "\n".join(lines)


def _shown(estimate):
    interval = "no interval" if math.isnan(estimate.low) else f"{estimate.low:.4f} to {estimate.high:.4f}"
    return f"{estimate.value:.4f} ({interval})"


def learning_curve(results: StudyResults, images: Mapping[str, float]) -> ErrorCurve:
    """The error against the number of training images, with the power law through it.

    Each seed has a power law, fitted by least squares in the logarithms; the mean exponent and its interval are those
    over the seeds. It is the law of Hestness et al., Deep Learning Scaling is Predictable, Empirically
    (arXiv:1712.00409), in the region where the error is neither that of guessing nor one that no images lower.

    Args:
        results: Of a study with a condition for each number. The error is 1 - metric where higher is better, such as
            of accuracy, and else the metric itself, such as of log_loss.
        images: How many training images each condition has, by its name; other conditions are not looked at.

    Raises:
        InputError: There are fewer than two numbers, or no seed has them all; an error or a number is 0.
    """
    curve = _curve(results, images, "training images", power_law=True)
    if curve.levels[0] <= 0 or (curve.errors <= 0).any():
        raise InputError(
            "a power law needs errors and numbers of images above 0, got 0: measure on more images, or leave that "
            "condition out"
        )
    return curve


def noise_curve(results: StudyResults, noise: Mapping[str, float]) -> ErrorCurve:
    """The error against the share of training labels that are wrong, with the straight line through it.

    Args:
        results: Of a study with a condition for each share; see `learning_curve`.
        noise: The share of each condition, from 0 to 1, by its name; other conditions are not looked at.

    Raises:
        InputError: There are fewer than two shares, or no seed has them all.
    """
    return _curve(results, noise, "wrong labels", power_law=False)


def _curve(results, levels, what, power_law):
    if unknown := [name for name in levels if name not in results.conditions]:
        raise InputError(f"the study must have the conditions of the curve, but has none named {unknown[0]!r}")
    names = sorted(levels, key=levels.__getitem__)
    if len({*levels.values()}) < max(2, len(names)):
        raise InputError(f"a curve needs two levels or more, each once, got {[*levels.values()]}")
    values = [results.values(name) for name in names]
    seeds = [seed for seed in results.seeds if all(seed in each for each in values)]
    if not seeds:
        raise InputError("a curve needs a seed whose runs are done at all of its levels, got none")
    found = np.array([[each[seed] for each in values] for seed in seeds])
    return ErrorCurve(
        what=what,
        levels=np.array([levels[name] for name in names], np.float64),
        errors=1 - found if METRICS[results.metric] else found,
        power_law=power_law,
        left_out=len(results.seeds) - len(seeds),
    )
