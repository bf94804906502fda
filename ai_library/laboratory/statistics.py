"""What a few seeds tell of the figures of conditions: means, differences, and how sure both are.

Values are those of runs, one a seed. Differences are paired: the runs of one seed share data, order and chance.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

LEVEL = 0.05
"""Of a test: how often two equal conditions are called different, at most. Intervals have the rest, 95 %."""
POWER = 0.8
"""How often a study should find a difference that is there."""
MOST_SEEDS = 1_000
"""That a question is said to need; beyond them it needs "more"."""
FEWEST_RESAMPLED = 10
"""Runs from which on a percentile bootstrap of them has an interval that holds; with 5 it holds in 89 % of studies."""
_DRAWS = 2**16
"""Ways to set the signs that are tried: all of up to 16 differences."""


class Estimate(NamedTuple):
    """A figure and the 95 % interval of it.

    Attributes:
        value: The figure.
        low: The lower end of the interval; nan where there is too little to say.
        high: The upper end.
    """

    value: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """What a paired test says of two conditions.

    Attributes:
        name: "sign flip" or "t": see `paired_test`.
        p_value: How often conditions that are the same would differ at least this much.
    """

    name: str
    p_value: float


def mean(values: ArrayLike) -> Estimate:
    """The mean of values (n,) with Student's interval, which assumes that they are spread normally.

    One value has no interval, nor have values that are all the same: what they vary by is then unknown, not 0. Raises
    `InputError` where there is no value.
    """
    values = _one_or_more(values)
    middle, n = float(values.mean()), len(values)
    if not _spread(values):
        return Estimate(middle, math.nan, math.nan)
    half = float(scipy.stats.t.ppf(1 - LEVEL / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Estimate(middle, middle - half, middle + half)


def sign_flip_p(differences: ArrayLike) -> float:
    """The p value of Fisher's sign-flip test of paired differences (n,), two-sided.

    If two conditions are the same, a difference is as likely as its opposite: the p value is the share of the 2^n ways
    to set the signs whose mean is as far from 0 as the one seen (Fisher, The Design of Experiments, 1935, section 21).
    It assumes no distribution. It cannot be below 2 / 2^n. Of more than 16 differences, 65,536 ways are drawn.
    """
    differences = _one_or_more(differences)
    if len(differences) == 1 or not differences.any():
        return 1.0
    tested = scipy.stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        n_resamples=_DRAWS,  # all ways, where there are no more
        vectorized=True,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def t_p(differences: ArrayLike) -> float:
    """The p value of the paired t test of differences (n,), two-sided, which assumes that they are spread normally.

    nan where it says nothing: of fewer than 2 differences, or of ones without any spread.
    """
    differences = _one_or_more(differences)
    if not _spread(differences):
        return math.nan
    tested: Any = scipy.stats.ttest_1samp(differences, 0.0)
    return float(tested.pvalue)


def paired_test(differences: ArrayLike, compared: int = 1) -> PairedTest:
    """The test of paired differences (n,) that decides, chosen by their number alone.

    The sign-flip test, where its smallest p value 2 / 2^n can reach 5 % divided by how many pairs of conditions are
    compared: from 6 differences on for one pair. With fewer the t test, which has to assume that they are spread
    normally; where they have no spread at all, the sign-flip test, which then finds nothing.
    """
    if 2 * 0.5 ** len(_one_or_more(differences)) <= LEVEL / compared or math.isnan(p := t_p(differences)):
        return PairedTest("sign flip", sign_flip_p(differences))
    return PairedTest("t", p)


def fewest_for_sign_flip(compared: int = 1) -> int:
    """How many differences the sign-flip test needs to be able to find one, where so many pairs are compared."""
    return math.ceil(math.log2(2 * compared / LEVEL))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, each corrected for how many there are (Holm, Scandinavian Journal of Statistics 6, 1979).

    Compared with 5 %, the chance that any of them calls equal conditions different is at most 5 %.
    """
    corrected, highest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, place in enumerate(sorted(range(m), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def probability_better(differences: ArrayLike) -> Estimate:
    """The probability that a run of one condition beats that of another with the same seed, from differences (n,).

    That is the share of the pairs with a difference above 0, where equal ones count half (Bouthillier et al.,
    Accounting for Variance in Machine Learning Benchmarks, MLSys 2021). The interval is `mid_p_interval`, not the
    paper's bootstrap of the pairs: where all pairs agree, a bootstrap says 100 % to 100 %, of however few.
    """
    differences = _one_or_more(differences)
    n, wins = len(differences), float((differences > 0).sum() + (differences == 0).sum() / 2)
    return Estimate(wins / n, *mid_p_interval(wins, n))


def mid_p_interval(wins: float, n: int) -> tuple[float, float]:
    """The 95 % mid-P interval (low, high) of a share (Berry and Armitage, The Statistician 44, 1995).

    Clopper and Pearson's, with what was seen counted half in either tail. A few pairs can agree in a few ways only, so
    that no interval holds in 95 % of cases for every true share. This one holds in 91 % or more, Wilson's at times in
    83 %.

    Args:
        wins: Number of successes, from 0 to `n`; halves are for pairs that are equal.
        n: Number of pairs, at least 1.
    """

    def more(share):
        """The probability of more wins than were seen, and half of that of just as many."""
        at_least = scipy.special.betainc(wins, n - wins + 1, share) if wins else 1.0
        above = scipy.special.betainc(wins + 1, n - wins, share) if wins < n else 0.0
        return (at_least + above) / 2

    def where(probability) -> float:
        share: Any = scipy.optimize.brentq(lambda share: more(share) - probability, 0.0, 1.0)
        return float(share)

    return where(LEVEL / 2) if wins else 0.0, where(1 - LEVEL / 2) if wins < n else 1.0


def interquartile_mean(values: ArrayLike, resamples: int = 10_000, seed: int = 0) -> Estimate:
    """The mean of the middle half of values (n,), or (n, tasks) of all tasks together, which one odd run moves little.

    The interval is that of the percentile bootstrap, which draws runs within each task (Agarwal et al., Deep
    Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021). Of fewer than 10 runs it is too
    narrow, of however many tasks: use the one of `mean` to decide.

    Args:
        values: Of n runs.
        resamples: How many samples the interval is made of.
        seed: Seed of these.
    """
    values = np.asarray(values, np.float64)
    values = _one_or_more(values)[:, np.newaxis] if values.ndim < 2 else values
    rng, (n, tasks) = np.random.default_rng(seed), values.shape
    drawn = rng.integers(0, n, (resamples, n, tasks))
    sampled = np.take_along_axis(values[np.newaxis], drawn, axis=1).reshape(resamples, -1)
    low, high = np.quantile(scipy.stats.trim_mean(sampled, 0.25, axis=1), (LEVEL / 2, 1 - LEVEL / 2))
    return Estimate(float(scipy.stats.trim_mean(values.ravel(), 0.25)), float(low), float(high))


def power(effect: float, n: int, level: float = LEVEL) -> float:
    """How often the paired t test of n differences finds one whose mean is `effect` standard deviations from 0.

    From the noncentral t distribution (Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988).
    """
    critical, centre = scipy.stats.t.ppf(1 - level / 2, n - 1), abs(effect) * math.sqrt(n)
    t: Any = scipy.stats.nct
    opposite = t.cdf(-critical, n - 1, centre)  # nan where it is too small for SciPy
    return float(t.sf(critical, n - 1, centre) + np.nan_to_num(opposite))


def seeds_needed(differences: ArrayLike, compared: int = 1) -> int | None:
    """How many seeds a new study needs to find a mean difference and a deviation like these with a power of 80 %.

    It is the power of the t test at 5 % divided by how many pairs are compared. The differences (n,) that it is taken
    from are themselves uncertain, and so is it. None: more than 1,000, or the differences do not tell.
    """
    differences = _one_or_more(differences)
    if math.isnan(t_p(differences)):
        return None
    effect, level = float(differences.mean() / differences.std(ddof=1)), LEVEL / compared
    if power(effect, MOST_SEEDS, level) < POWER:
        return None
    low, high = 1, MOST_SEEDS  # power rises with n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level) >= POWER else (middle, high)
    return high


def _spread(values):
    """Whether values differ by more than rounding."""
    return np.ptp(values) > 1e-12 * np.abs(values).max()


def _one_or_more(values) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"values must be finite numbers (n,), one or more, got {values!r}")
    return values
