"""Statistics of few seeds: means, paired differences, their intervals and tests.

A value is the metric of one run. Differences are paired by seed: two runs of one seed share data, order and random
numbers.
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
"""The significance level of the tests. Intervals have the confidence 1 - `LEVEL`, 95 %."""
POWER = 0.8
"""The power of a study: the probability of finding a difference that exists."""
MOST_SEEDS = 1_000
"""Largest number of seeds that is named; above it the text says "more"."""
FEWEST_RESAMPLED = 10
"""Fewest runs whose percentile bootstrap gives a valid interval; with 5 runs it is valid in 89 % of the studies."""
_DRAWS = 2**16
"""Number of sign assignments that are tried: all those of up to 16 differences."""


class Estimate(NamedTuple):
    """An estimate with its 95 % interval.

    Attributes:
        value: The estimate.
        low: The lower end of the interval; nan if there are too few values for one.
        high: The upper end.
    """

    value: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """The result of a paired test of two conditions.

    Attributes:
        name: "sign flip" or "t": see `paired_test`.
        p_value: The probability, if the conditions are equal, of a difference at least as large.
    """

    name: str
    p_value: float


def mean(values: ArrayLike) -> Estimate:
    """The mean of values (n,) with Student's interval, which assumes that they are normally distributed.

    One value, or equal values, have no interval: their deviation is unknown, not 0. Raises `InputError` if there is no
    value.
    """
    values = _one_or_more(values)
    middle, n = float(values.mean()), len(values)
    if not _spread(values):
        return Estimate(middle, math.nan, math.nan)
    half = float(scipy.stats.t.ppf(1 - LEVEL / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Estimate(middle, middle - half, middle + half)


def sign_flip_p(differences: ArrayLike) -> float:
    """The p value of Fisher's sign-flip test of paired differences (n,), two-sided.

    If two conditions are equal, a difference and its opposite are equally likely. The p value is the fraction of the
    2^n sign assignments whose mean is at least as far from 0 as the observed one (Fisher, The Design of Experiments,
    1935, section 21). It assumes no distribution, and is at least 2 / 2^n. With more than 16 differences, 65,536 random
    assignments are tried.
    """
    differences = _one_or_more(differences)
    if len(differences) == 1 or not differences.any():
        return 1.0
    tested = scipy.stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        n_resamples=_DRAWS,  # all assignments, if there are no more
        vectorized=True,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def t_p(differences: ArrayLike) -> float:
    """The p value of the paired t test of differences (n,), two-sided; it assumes a normal distribution.

    It is nan for fewer than 2 differences, and for equal differences.
    """
    differences = _one_or_more(differences)
    if not _spread(differences):
        return math.nan
    tested: Any = scipy.stats.ttest_1samp(differences, 0.0)
    return float(tested.pvalue)


def paired_test(differences: ArrayLike, compared: int = 1) -> PairedTest:
    """Tests paired differences (n,) by the sign-flip test or the t test, chosen by n alone.

    The sign-flip test is used if its smallest p value, 2 / 2^n, can reach 5 % / `compared`, the number of compared
    pairs: for one pair, from 6 differences on. With fewer, the t test is used, which assumes a normal distribution; for
    equal differences, where it is undefined, the sign-flip test, which then finds nothing.
    """
    if 2 * 0.5 ** len(_one_or_more(differences)) <= LEVEL / compared or math.isnan(p := t_p(differences)):
        return PairedTest("sign flip", sign_flip_p(differences))
    return PairedTest("t", p)


def fewest_for_sign_flip(compared: int = 1) -> int:
    """The fewest differences with which the sign-flip test can be significant, for `compared` pairs."""
    return math.ceil(math.log2(2 * compared / LEVEL))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p values for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    At the level 5 %, the probability of any false positive among them is then at most 5 %.
    """
    corrected, highest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, place in enumerate(sorted(range(m), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def probability_better(differences: ArrayLike) -> Estimate:
    """The probability that a run of one condition beats that of another with the same seed, from differences (n,).

    It is the fraction of pairs with a difference above 0, where ties count half (Bouthillier et al., Accounting for
    Variance in Machine Learning Benchmarks, MLSys 2021). The interval is `mid_p_interval`, not the paper's bootstrap,
    whose interval is 100 % to 100 % whenever all pairs agree, however few they are.
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
    """The mean of the middle half of the values, which is robust to outliers.

    The interval is that of the percentile bootstrap, stratified by task (Agarwal et al., Deep Reinforcement Learning at
    the Edge of the Statistical Precipice, NeurIPS 2021). With fewer than 10 runs it is too narrow, however many tasks
    there are: decide by that of `mean`.

    Args:
        values: (n,) values of n runs, or (n, tasks), which are pooled.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
    """
    values = np.asarray(values, np.float64)
    values = _one_or_more(values)[:, np.newaxis] if values.ndim < 2 else values
    rng, (n, tasks) = np.random.default_rng(seed), values.shape
    drawn = rng.integers(0, n, (resamples, n, tasks))
    sampled = np.take_along_axis(values[np.newaxis], drawn, axis=1).reshape(resamples, -1)
    low, high = np.quantile(scipy.stats.trim_mean(sampled, 0.25, axis=1), (LEVEL / 2, 1 - LEVEL / 2))
    return Estimate(float(scipy.stats.trim_mean(values.ravel(), 0.25)), float(low), float(high))


def power(effect: float, n: int, level: float = LEVEL) -> float:
    """The power of the paired t test of n differences whose mean is `effect` standard deviations from 0.

    It is computed by the noncentral t distribution (Cohen, Statistical Power Analysis for the Behavioral Sciences,
    1988).
    """
    critical, centre = scipy.stats.t.ppf(1 - level / 2, n - 1), abs(effect) * math.sqrt(n)
    t: Any = scipy.stats.nct
    opposite = t.cdf(-critical, n - 1, centre)  # nan where it is too small for SciPy
    return float(t.sf(critical, n - 1, centre) + np.nan_to_num(opposite))


def seeds_needed(differences: ArrayLike, compared: int = 1) -> int | None:
    """The number of seeds with which a new study would find such differences (n,) with a power of 80 %.

    It is that of the t test at the level 5 % / `compared`, for the mean and the deviation of these differences. It is
    as uncertain as they are. None: more than 1,000, or too few differences to tell.
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
