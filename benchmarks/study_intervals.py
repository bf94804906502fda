"""How often the intervals and tests of a study are right, in simulated studies of known conditions.

    python benchmarks/study_intervals.py [--trials 2000]

Runs are drawn from a normal and from a skewed distribution (a gamma of shape 2). Of an interval it counts in how many
studies the true value lies within; of a test of two equal conditions, how often it finds a difference; of one that is
there, how many seeds are said to be needed. P is the probability that one condition beats the other: of its intervals
the coverage is also worked out, not simulated, for 400 true values from 0.5 to 0.995.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import keep

from ai_library.evaluation.metrics import wilson_interval
from ai_library.files.text import counted
from ai_library.laboratory.statistics import (
    LEVEL,
    interquartile_mean,
    mean,
    mid_p_interval,
    paired_test,
    probability_better,
    seeds_needed,
    sign_flip_p,
    t_p,
)

SEEDS, TESTED, TASKS = (3, 5, 6, 10, 20), (5, 6, 10), (1, 10)
DISTRIBUTIONS = {"normal": scipy.stats.norm(), "skewed": scipy.stats.gamma(2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    trials = parser.parse_args().trials
    lines = [
        f"{trials:,} simulated studies each, seed 0; {100 * (1 - LEVEL):.0f} % wanted within, {LEVEL:.0%} found",
        "",
    ]
    lines.append(f"{'runs':<8} {'seeds':>5} {'mean':>8} {'P, mid-P':>9} {'P, Wilson':>10} {'P, bootstrap':>13}")
    for name, distribution in DISTRIBUTIONS.items():
        for n in SEEDS:
            lines.append(f"{name:<8} {n:>5} {within(distribution, n, trials)}")
    lines += ["", "P, over all its true values: mean coverage (lowest)"]
    lines.append(f"{'':<8} {'seeds':>5} {'mid-P':>17} {'Wilson':>17}")
    for n in SEEDS:
        lines.append(f"{'':<8} {n:>5} {of_all(mid_p_interval, n)} {of_all(wilson_interval, n)}")
    tasks = [f"{counted(count, 'task'):>9}" for count in TASKS]
    lines += ["", "middle half, of the runs of so many tasks together", f"{'runs':<8} {'seeds':>5} {' '.join(tasks)}"]
    for name, distribution in DISTRIBUTIONS.items():
        for n in SEEDS:
            lines.append(f"{name:<8} {n:>5} {' '.join(middle_half(distribution, n, count, trials) for count in TASKS)}")
    lines += ["", f"{'runs':<8} {'seeds':>5} {'sign flip':>10} {'t':>8} {'the one that decides':>21}"]
    for name, distribution in DISTRIBUTIONS.items():
        for n in TESTED:
            lines.append(f"{name:<8} {n:>5} {found(distribution, n, trials)}")
    lines += ["", "seeds said to be needed of a difference of 1 deviation (true: 10), median and middle 80 %"]
    for n in SEEDS:
        told = needed(n, trials)
        low, middle, high = np.quantile(told, (0.1, 0.5, 0.9), method="nearest")
        lines.append(f"{n:>5} seeds: {middle:.0f} ({low:.0f} to {high:.0f})")
    keep("study_intervals", lines, "numpy", "scipy")


def within(distribution, n, trials):
    """Shares of the studies whose intervals hold the true mean and the true probability of being better."""
    rng = np.random.default_rng(0)
    true = scipy.stats.norm.cdf(0.75 / np.sqrt(2))  # of 0.75 deviations between two runs
    hits = np.zeros(4)
    for _ in range(trials):
        values = distribution.rvs(n, random_state=rng)
        differences = rng.normal(0.75, np.sqrt(2), n)
        wins = (differences > 0)[rng.integers(0, n, (1_000, n))].mean(axis=1)
        held = (
            (distribution.mean(), mean(values)[1:]),
            (true, probability_better(differences)[1:]),
            (true, wilson_interval(int((differences > 0).sum()), n)),
            (true, np.quantile(wins, (0.025, 0.975))),
        )
        hits += [low <= value <= high for value, (low, high) in held]
    one, two, three, four = 100 * hits / trials
    return f"{one:>6.1f} % {two:>7.1f} % {three:>8.1f} % {four:>11.1f} %"


def of_all(interval, n):
    """The mean coverage of an interval of a share over true shares, and the lowest."""
    true = np.linspace(0.5, 0.995, 400)
    wins = np.arange(n + 1)
    low, high = np.array([interval(int(count), n) for count in wins]).T[..., np.newaxis]
    coverage = (scipy.stats.binom.pmf(wins[:, np.newaxis], n, true) * ((low <= true) & (true <= high))).sum(axis=0)
    return f"{coverage.mean():>9.1%} ({coverage.min():.1%})"


def middle_half(distribution, n, tasks, trials):
    """Share of the studies whose interval holds the true interquartile mean."""
    rng = np.random.default_rng(0)
    quartiles = distribution.ppf((0.25, 0.75))
    true = distribution.expect(lambda x: x, lb=quartiles[0], ub=quartiles[1]) * 2
    hits = 0
    for _ in range(trials):
        _, low, high = interquartile_mean(distribution.rvs((n, tasks), random_state=rng), 1_000)
        hits += low <= true <= high
    return f"{100 * hits / trials:>7.1f} %"


def found(distribution, n, trials):
    """Shares of the studies of two equal conditions in which a difference is found."""
    rng, hits = np.random.default_rng(0), np.zeros(3)
    for _ in range(trials):
        differences = distribution.rvs(n, random_state=rng) - distribution.rvs(n, random_state=rng)
        p_values = sign_flip_p(differences), t_p(differences), paired_test(differences).p_value
        hits += [p < LEVEL for p in p_values]
    one, two, three = 100 * hits / trials
    return f"{one:>8.1f} % {two:>6.1f} % {three:>19.1f} %"


def needed(n, trials):
    rng = np.random.default_rng(0)
    return [seeds_needed(rng.normal(1, 1, n)) or 1_001 for _ in range(trials)]


if __name__ == "__main__":
    main()
