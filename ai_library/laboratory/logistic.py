"""Fits psychometric functions, vectorised over the resamples of a bootstrap."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_LAPSES = 0.5
_STEEPEST = 20.0  # logits between neighbouring levels: steeper curves are steps
_ROUNDS = 200
_STILL = 1e-9  # an iteration that gains less log likelihood is the last
_SMALL = 1e-9  # the smallest probability


class Fits(NamedTuple):
    """b curves, chance + (1 - chance - lapse) * sigmoid(slope * (level - midpoint)); each field is an array (b,)."""

    midpoint: NDArray[np.float64]
    """The level halfway between chance and the upper asymptote."""
    slope: NDArray[np.float64]
    """Logits per unit of the level; negative if accuracy decreases."""
    lapse: NDArray[np.float64]
    """The lapse rate: the error at the best level."""
    log_likelihood: NDArray[np.float64]
    is_step: NDArray[np.bool_]
    """Whether the slope is at its bound, so that the likelihood does not determine it."""

    def at(self, levels: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
        """The probabilities (b, l) of the curves at the levels (l,)."""
        logits = self.slope[:, np.newaxis] * (levels - self.midpoint[:, np.newaxis])
        return chance + (1 - chance - self.lapse[:, np.newaxis]) * _sigmoid(logits)

    def crossing(self, target: float, chance: float) -> NDArray[np.float64]:
        """The levels (b,) at which the curves reach a probability; nan if one never does."""
        height = 1 - chance - self.lapse
        share = np.where(height > target - chance, (target - chance) / np.maximum(height, _SMALL), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.midpoint + np.log(share / (1 - share)) / self.slope


def fit_logistic(levels: NDArray[np.float64], correct: NDArray[np.float64], n: float, chance: float) -> Fits:
    """Fits b curves by maximum likelihood: Fisher scoring with Levenberg-Marquardt damping, from the best of a grid.

    The guess rate is fixed at `chance`, and the lapse rate is between 0 and `MOST_LAPSES` (Wichmann and Hill,
    Perception & Psychophysics 63, 2001, 1293-1313).

    Args:
        levels: (l,) increasing, l >= 2.
        correct: (b, l) number of right answers of each curve at each level.
        n: Number of answers at each level.
        chance: The probability of a right answer by guessing.
    """
    middle, half = (levels[0] + levels[-1]) / 2, (levels[-1] - levels[0]) / 2
    z = (levels - middle) / half
    steepest = _STEEPEST / np.diff(z).min()
    parameters = _best_of_grid(z, correct, n, chance, steepest)
    low, high = np.array([-np.inf, -steepest, 0]), np.array([np.inf, steepest, MOST_LAPSES])
    value, damping = _log_likelihood(parameters, z, correct, n, chance), np.full(len(correct), 1e-3)
    moving = np.arange(len(correct))
    for _ in range(_ROUNDS):
        now = parameters[moving]
        score, information = _score(now, z, correct[moving], n, chance)
        held = ((now <= low) & (score < 0)) | ((now >= high) & (score > 0))  # at a bound, gradient outwards
        score[held] = 0
        information[held[:, :, np.newaxis] | held[:, np.newaxis, :]] = 0
        diagonal = np.einsum("bii->bi", information)
        diagonal += damping[moving, np.newaxis] * diagonal + np.where(held, 1, 1e-12)
        tried = np.clip(now + np.linalg.solve(information, score[..., np.newaxis])[..., 0], low, high)
        new = _log_likelihood(tried, z, correct[moving], n, chance)
        gain = new - value[moving]
        better = gain > 0
        parameters[moving[better]], value[moving[better]] = tried[better], new[better]
        damping[moving] = np.clip(damping[moving] * np.where(better, 0.2, 8), 1e-9, 1e12)
        moving = moving[(gain > _STILL) | (~better & (damping[moving] < 1e6))]
        if not len(moving):
            break
    a, b, lapse = parameters.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return Fits(middle - half * a / b, b / half, lapse, value, np.abs(b) >= steepest * (1 - 1e-6))


def _best_of_grid(z, correct, n, chance, steepest):
    slopes = np.array([-1, -0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 1]) * min(steepest, 40)
    slope, midpoint, lapse = np.meshgrid(slopes, np.linspace(-1.2, 1.2, 9), [0, 0.02, 0.1, 0.3], indexing="ij")
    grid = np.stack([-slope * midpoint, slope, lapse], axis=-1).reshape(-1, 3)
    p = _probability(grid, z, chance)[0]
    return grid[(correct @ np.log(p).T + (n - correct) @ np.log1p(-p).T).argmax(axis=1)]


def _probability(parameters, z, chance):
    """The probabilities (b, l), and the sigmoid (b, l) in them."""
    a, b, lapse = parameters.T[:, :, np.newaxis]
    s = _sigmoid(a + b * z)
    return np.clip(chance + (1 - chance - lapse) * s, _SMALL, 1 - _SMALL), s


def _log_likelihood(parameters, z, correct, n, chance):
    p, _ = _probability(parameters, z, chance)
    return (correct * np.log(p) + (n - correct) * np.log1p(-p)).sum(axis=1)


def _score(parameters, z, correct, n, chance):
    """The gradient (b, 3) of the log likelihood, and the Fisher information (b, 3, 3)."""
    p, s = _probability(parameters, z, chance)
    steep = (1 - chance - parameters[:, 2:]) * s * (1 - s)
    slopes = np.stack([steep, steep * z, -s], axis=1)
    variance = p * (1 - p)
    score = (slopes * ((correct - n * p) / variance)[:, np.newaxis]).sum(axis=2)
    return score, np.einsum("bil,bjl,bl->bij", slopes, slopes, n / variance)


def _sigmoid(logits):
    return 0.5 + 0.5 * np.tanh(0.5 * logits)
