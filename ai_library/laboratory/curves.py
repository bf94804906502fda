"""Error curves over the seeds of a study: by the number of training images, or by the fraction of wrong labels."""

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
    """The error at several levels, with a line fitted to each seed. `print` it for a table.

    >>> errors = np.array([[0.4, 0.2, 0.1], [0.36, 0.18, 0.09]])  # of two seeds
    >>> levels = np.array([100, 400, 1600])
    >>> curve = ErrorCurve(what="training images", levels=levels, errors=errors, power_law=True, left_out=0)
    >>> round(curve.slope.value, 3), round(curve.at(6400).value, 4)
    (-0.5, 0.0474)

    Attributes:
        what: Name of the levels, such as "training images".
        levels: (k,) the levels, increasing.
        errors: (n, k) the error of each seed at each level.
        power_law: If True, each seed's line is error = factor * level ** slope, fitted in logarithms; else it is
            error = factor + slope * level.
        left_out: Number of seeds that lack an error at one of the levels, and have no line.
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
        """The mean slope over the seeds, with Student's 95 % interval; of a power law the exponent."""
        return mean(self._lines[0])

    @property
    def factor(self) -> Estimate:
        """The factor of the power law, or the error at level 0 of a straight line, with its 95 % interval."""
        return self._seen(mean(self._lines[1]))

    def at(self, level: float) -> Estimate:
        """The error of the line at a level, with the 95 % interval of the line over the seeds.

        Outside of the measured levels it is an extrapolation; the interval does not include the error of the law.
        """
        slopes, factors = self._lines
        return self._seen(mean(factors + slopes * (math.log(level) if self.power_law else level)))

    @property
    def _lines(self):
        """Slope and factor (n,) of each seed by least squares; of a power law, in logarithms."""
        if self.power_law:
            return np.polyfit(np.log(self.levels), np.log(self.errors.T), 1)
        return np.polyfit(self.levels, self.errors.T, 1)

    def _seen(self, estimate):
        return Estimate(*map(math.exp, estimate)) if self.power_law else estimate

    def __str__(self) -> str:
        lines = [f"{self.what:>18}  error, 95 % interval, and the line"]
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
    """Fits a power law to the error against the number of training images.

    A power law is fitted to each seed by least squares in logarithms. The exponent is the mean over the seeds, with its
    interval. The law is that of Hestness et al., Deep Learning Scaling is Predictable, Empirically (arXiv:1712.00409).
    It holds between the error of guessing and the error that more images do not reduce.

    >>> accuracy = {("few", 0): 0.6, ("many", 0): 0.8, ("few", 1): 0.64, ("many", 1): 0.82}
    >>> runs = {run: {"accuracy": value} for run, value in accuracy.items()}
    >>> results = StudyResults(conditions=("few", "many"), seeds=(0, 1), runs=runs)
    >>> round(learning_curve(results, images={"few": 100, "many": 400}).slope.value, 3)
    -0.5

    Args:
        results: Results of a study with one condition per number of images. The error is 1 - metric if higher is
            better, as for accuracy; else it is the metric itself, as for log loss.
        images: Number of training images of each condition, by name. Other conditions are ignored.

    Returns:
        The `ErrorCurve`.

    Raises:
        InputError: There are fewer than two different numbers, no seed has a run for each, or an error or a number is
            0.
    """
    curve = _curve(results, images, "training images", power_law=True)
    if curve.levels[0] <= 0 or (curve.errors <= 0).any():
        raise InputError(
            "a power law needs errors and numbers of images above 0, got 0: measure on more images, or leave that "
            "condition out"
        )
    return curve


def noise_curve(results: StudyResults, noise: Mapping[str, float]) -> ErrorCurve:
    """Fits a straight line to the error against the fraction of wrong training labels.

    >>> accuracy = {("clean", 0): 0.9, ("noisy", 0): 0.7, ("clean", 1): 0.92, ("noisy", 1): 0.74}
    >>> runs = {run: {"accuracy": value} for run, value in accuracy.items()}
    >>> results = StudyResults(conditions=("clean", "noisy"), seeds=(0, 1), runs=runs)
    >>> round(noise_curve(results, noise={"clean": 0.0, "noisy": 0.5}).slope.value, 3)
    0.38

    Args:
        results: Results of a study with one condition per fraction; see `learning_curve` for the error.
        noise: Fraction of wrong labels of each condition, in [0, 1], by name. Other conditions are ignored.

    Returns:
        The `ErrorCurve`.

    Raises:
        InputError: There are fewer than two different fractions, or no seed has a run for each.
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
