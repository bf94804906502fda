"""Psychometric curves: accuracy as a function of one factor of the shapes, with its threshold."""

import base64
import contextlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, xlog1py, xlogy

from ..data.shapes import ShapeDataSource
from ..errors import InputError, MissingExtraError, whole_number
from ..evaluation.evaluator import evaluate
from ..evaluation.metrics import wilson_interval
from ..evaluation.slices import AccuracyRow
from .logistic import fit_logistic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..networks.classifier import Classifier

RESAMPLES = 1000
"""Number of bootstrap resamples."""
_PARAMETERS = 3
_MOST_WITHOUT = 0.01
"""Largest fraction of the bootstrap's curves without a threshold; with more, there is no interval."""
_NO_CHANGE = 0.05
"""Accuracy counts as constant if the p value of the likelihood ratio test is above this."""
_MISFIT = 0.001
"""The fit counts as bad if the p value of its deviance is below this."""


@dataclass(frozen=True, eq=False)
class PsychometricCurve:
    """Accuracy at set levels of one factor, and the fitted logistic curve. `print` it, or let a notebook show it.

    >>> curve = psychometric(classifier, source, "contrast", levels=(0.1, 0.2, 0.4, 0.8), n=20)
    >>> curve.hits.shape, [row.n for row in curve.rows]
    ((4, 20), [20, 20, 20, 20])

    Attributes:
        factor: The factor, a name in `ShapeRanges`.
        levels: (l,) the levels, in the factor's units, increasing.
        hits: (l, n) bool, which images are classified correctly. Column i shows one image at all levels.
        chance: The accuracy of guessing, 1 / classes.
        target: The accuracy at the threshold.
        midpoint: The level halfway between chance and the upper asymptote; None if no curve could be fitted.
        slope: Logits per unit of the level, negative if accuracy decreases; None if no curve could be fitted.
        lapse: The lapse rate, the error at the best level; None if no curve could be fitted.
        threshold: The level at which the curve reaches the target; None if it does not within the levels.
        threshold_interval: 95 % interval of the threshold: low, high; None if it has none.
        notes: Why a field is None, and whether the fit is bad.
    """

    factor: str
    levels: NDArray[np.float64]
    hits: NDArray[np.bool_]
    chance: float
    target: float
    midpoint: float | None
    slope: float | None
    lapse: float | None
    threshold: float | None
    threshold_interval: tuple[float, float] | None
    notes: tuple[str, ...]

    @property
    def rows(self) -> list[AccuracyRow]:
        """The accuracy at each level, with its 95 % interval."""
        n = self.hits.shape[1]
        right = [int(each) for each in self.hits.sum(axis=1)]
        return [
            AccuracyRow(f"{level:.4g}", n, k, k / n, wilson_interval(k, n))
            for level, k in zip(self.levels, right, strict=True)
        ]

    def curve(self, levels: ArrayLike) -> NDArray[np.float64]:
        """Returns the fitted accuracy (m,) at levels (m,); nan if no curve could be fitted."""
        levels = np.asarray(levels, np.float64)
        if self.midpoint is None or self.slope is None or self.lapse is None:
            return np.full(levels.shape, np.nan)
        with np.errstate(over="ignore"):
            rise = 1 / (1 + np.exp(-self.slope * (levels - self.midpoint)))
        return self.chance + (1 - self.chance - self.lapse) * rise

    def figure(self) -> "Figure":
        """Returns a matplotlib figure: the accuracies with their intervals, the curve and its threshold.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            raise MissingExtraError(error, "report") from error
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        axis = figure.add_subplot()
        fine = np.linspace(self.levels[0], self.levels[-1], 200)
        axis.plot(fine, self.curve(fine), color="C0")
        intervals = np.array([row.accuracy_interval for row in self.rows])
        accuracy = self.hits.mean(axis=1)
        errors = np.abs(intervals.T - accuracy)
        axis.errorbar(self.levels, accuracy, errors, fmt="o", color="C0", capsize=3)
        axis.axhline(self.chance, color="grey", linestyle=":")
        if self.threshold is not None:
            axis.vlines(self.threshold, 0, self.target, color="C3")
        if self.threshold_interval is not None:
            axis.hlines(self.target, *self.threshold_interval, color="C3", linewidth=3)
        axis.set(xlabel=self.factor, ylabel="accuracy", ylim=(0, 1.02))
        axis.set_title(self._threshold_text(), fontsize=9)
        return figure

    def _threshold_text(self):
        if self.threshold is None:
            return f"{self.target:.0%} threshold: none"
        interval = "no interval"
        if self.threshold_interval is not None:
            low, high = self.threshold_interval
            interval = f"95 % interval {low:.4g} to {high:.4g}"
        return f"{self.target:.0%} threshold: {self.threshold:.4g} ({interval})"

    def __str__(self) -> str:
        lines = [f"{self.factor:>10}  accuracy  95 % interval      n = {self.hits.shape[1]:,} at each level"]
        for row in self.rows:
            low, high = row.accuracy_interval
            lines.append(f"{row.name:>10}  {row.accuracy:7.2%}   {low:.2%} to {high:.2%}")
        return "\n".join([*lines, self._threshold_text(), *self.notes])

    def _repr_html_(self):
        """The HTML for a notebook: the table, and the figure if matplotlib is installed."""
        from ..evaluation.figures import png_of

        cells = [(row.name, row.accuracy, *row.accuracy_interval) for row in self.rows]
        rows = "".join(
            f"<tr><td>{name}</td><td>{p:.2%}</td><td>{a:.2%} to {b:.2%}</td></tr>" for name, p, a, b in cells
        )
        head = f"<tr><th>{html.escape(self.factor)}</th><th>accuracy</th><th>95 % interval</th></tr>"
        told = "<br>".join(map(html.escape, [self._threshold_text(), *self.notes]))
        picture = ""
        with contextlib.suppress(MissingExtraError):
            encoded = base64.b64encode(png_of(self.figure(), dpi=90)).decode()
            picture = f'<img alt="accuracy by {html.escape(self.factor)}" src="data:image/png;base64,{encoded}">'
        return f"<table>{head}{rows}</table><p>{told}</p>{picture}"


def psychometric(
    classifier: "Classifier",
    source: ShapeDataSource,
    factor: str,
    levels: Sequence[float],
    n: int = 1000,
    *,
    target: float = 0.75,
) -> PsychometricCurve:
    """Measures accuracy at set levels of one factor, and fits a psychometric curve.

    At each level the same images of the "evaluation" split are drawn with only that factor changed, so that differences
    between levels are due to it alone. See `curve_of` for the fit.

    >>> curve = psychometric(classifier, source, "contrast", levels=(0.1, 0.2, 0.4, 0.8), n=20)
    >>> curve.levels.tolist(), curve.chance
    ([0.1, 0.2, 0.4, 0.8], 0.5)

    Args:
        classifier: A `Classifier` for the classes and the image shape of `source`.
        source: The source of the shapes.
        factor: A range of `ShapeRanges`, such as "contrast".
        levels: Four or more levels, in the factor's units; they may lie outside of the source's range. At the hardest
            levels accuracy should be near chance.
        n: Number of images at each level.
        target: The accuracy at the threshold, above chance and below 1.

    Returns:
        The `PsychometricCurve`.

    Raises:
        InputError: The classifier has other classes or another image shape than the source, or an argument is out of
            its range.
    """
    if not isinstance(source, ShapeDataSource):
        raise InputError(f"source must be a ShapeDataSource, whose factors can be set, got {type(source).__name__}")
    n = whole_number("n", n, 1, 2**31)
    hits = [evaluate(classifier, source.fixed(factor, level, n)).hits for level in sorted(levels)]
    return curve_of(factor, sorted(levels), np.array(hits), 1 / source.num_classes, target)


def curve_of(factor: str, levels: ArrayLike, hits: ArrayLike, chance: float, target: float = 0.75) -> PsychometricCurve:
    """Fits a psychometric curve to known answers.

    The curve is logistic, from a fixed chance level to 1 - lapse rate, fitted by maximum likelihood. The interval of
    the threshold is that of the percentile bootstrap over images, all levels of an image together, with 1,000
    resamples of a fixed seed.

    Args:
        factor: Name of the levels.
        levels: (l,) increasing.
        hits: (l, n) bool, which answers are right; a column is one image.
        chance: The probability of a right answer by guessing.
        target: The accuracy at the threshold.

    Raises:
        InputError: The levels are not increasing, the shapes disagree, or the target is not between chance and 1.
    """
    levels, hits = np.asarray(levels, np.float64), np.asarray(hits, bool)
    if levels.ndim != 1 or not len(levels) or not (np.diff(levels) > 0).all() or not np.isfinite(levels).all():
        raise InputError(f"levels must be different numbers, one or more, got {levels.tolist()}")
    if hits.ndim != 2 or len(hits) != len(levels) or not hits.shape[1]:
        raise InputError(f"hits must be ({len(levels)}, n), a row for each level, got {hits.shape}")
    if not 0 <= chance < target < 1:
        raise InputError(f"target must lie between chance, {chance:.4g}, and 1, got {target!r}")
    n = hits.shape[1]
    if len(levels) <= _PARAMETERS:
        note = f"No curve: its {_PARAMETERS} parameters need {_PARAMETERS + 1} levels or more, there are {len(levels)}."
        return PsychometricCurve(factor, levels, hits, chance, target, None, None, None, None, None, (note,))
    fit = fit_logistic(levels, hits.sum(axis=1, dtype=np.float64)[np.newaxis], n, chance)
    problem = _undefined(fit, levels, hits)
    if problem:
        return PsychometricCurve(factor, levels, hits, chance, target, None, None, None, None, None, (problem,))
    notes = _misfit(fit, levels, hits)
    threshold, interval = fit.crossing(target, chance)[0], None
    if not levels[0] <= threshold <= levels[-1]:  # false for nan, too
        accuracy = fit.at(levels, chance)[0]
        side = "above" if accuracy.min() > target else "below"
        notes.append(f"No threshold: the curve stays {side} {target:.0%} at all of these levels.")
        threshold = None
    else:
        interval, told = _bootstrap(levels, hits, chance, target)
        notes += told
    midpoint, slope, lapse = (float(each[0]) for each in (fit.midpoint, fit.slope, fit.lapse))
    threshold = None if threshold is None else float(threshold)
    return PsychometricCurve(
        factor, levels, hits, chance, target, midpoint, slope, lapse, threshold, interval, tuple(notes)
    )


def _undefined(fit, levels, hits):
    """Why no curve can be fitted; "" if one can."""
    n, share = hits.shape[1], hits.mean(axis=1)
    constant = _log_likelihood(np.full(len(levels), share.mean()), share, n)
    if chdtrc(2, 2 * max(fit.log_likelihood[0] - constant, 0)) > _NO_CHANGE:
        return f"No curve: accuracy does not change with the factor by more than chance, it is {share.mean():.2%}."
    if fit.is_step[0]:
        low = np.abs(np.diff(share)).argmax()
        return (
            f"No curve: accuracy jumps from {share[low]:.0%} to {share[low + 1]:.0%} between {levels[low]:.4g} and "
            f"{levels[low + 1]:.4g}, so that the slope is not defined: add levels between them."
        )
    return ""


def _misfit(fit, levels, hits):
    """A note if the points deviate from the curve by more than chance."""
    n, share = hits.shape[1], hits.mean(axis=1)
    deviance = 2 * (_log_likelihood(share, share, n) - fit.log_likelihood[0])
    p = chdtrc(len(levels) - _PARAMETERS, max(deviance, 0))
    if p >= _MISFIT:
        return []
    return [f"The points do not lie on a logistic curve (deviance {deviance:.1f}, p = {p:.1g}): trust the table."]


def _log_likelihood(p, share, n):
    return float(n * (xlogy(share, p) + xlog1py(1 - share, -p)).sum())


def _bootstrap(levels, hits, chance, target):
    """The interval of the threshold, or None, and notes."""
    patterns, count = np.unique(hits.T, axis=0, return_counts=True)
    n = hits.shape[1]
    drawn = np.random.default_rng(0).multinomial(n, count / n, size=RESAMPLES)
    crossings = fit_logistic(levels, drawn @ patterns.astype(np.float64), n, chance).crossing(target, chance)
    without = int(np.isnan(crossings).sum())
    if without > _MOST_WITHOUT * RESAMPLES:
        reason = f"{without:,} of {RESAMPLES:,} resampled curves never reach {target:.0%}"
        return None, [f"No interval: {reason}. Take more images, or levels at which more are right."]
    low, high = np.nanquantile(crossings, [0.025, 0.975])
    return (float(low), float(high)), []
