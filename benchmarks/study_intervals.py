"""How often the intervals and tests of a study are right, in simulated studies of known conditions.

    python benchmarks/study_intervals.py [--trials 2000]

Runs are drawn from a normal and from a skewed distribution (a gamma of shape 2). For an interval, it counts the studies
in which it contains the true value. For a test of two equal conditions, it counts how often a difference is found. For
a real difference, it reports the number of seeds that the library says are needed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import keep

from ai_library.laboratory.statistics import (
    LEVEL,
    interquartile_mean,
    mean,
    paired_test,
    probability_better,
    seeds_needed,
    sign_flip_p,
    t_p,
)

SEEDS, TESTED = (3, 5, 10, 20), (5, 6, 10)
DISTRIBUTIONS = {"normal": scipy.stats.norm(), "skewed": scipy.stats.gamma(2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    trials = parser.parse_args().trials
    lines = [
        f"{trials:,} simulated studies each, seed 0; {100 * (1 - LEVEL):.0f} % wanted within, {LEVEL:.0%} found",
        "",
    ]
    lines.append(f"{'runs':<8} {'seeds':>5} {'mean':>8} {'middle half':>12} {'P, Wilson':>10} {'P, bootstrap':>13}")
    for name, distribution in DISTRIBUTIONS.items():
        for n in SEEDS:
            lines.append(f"{name:<8} {n:>5} {within(distribution, n, trials)}")
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
    """Shares of the studies whose intervals hold the true mean, interquartile mean and probability of being better."""
    rng = np.random.default_rng(0)
    quartiles = distribution.ppf((0.25, 0.75))
    middle = distribution.expect(lambda x: x, lb=quartiles[0], ub=quartiles[1]) * 2
    true = scipy.stats.norm.cdf(0.75 / np.sqrt(2))  # of 0.75 deviations between two runs
    hits = np.zeros(4)
    for _ in range(trials):
        values = distribution.rvs(n, random_state=rng)
        differences = rng.normal(0.75, np.sqrt(2), n)
        wins = (differences > 0)[rng.integers(0, n, (1_000, n))].mean(axis=1)
        held = (
            (distribution.mean(), mean(values)[1:]),
            (middle, interquartile_mean(values, 1_000)[1:]),
            (true, probability_better(differences)[1:]),
            (true, np.quantile(wins, (0.025, 0.975))),
        )
        hits += [low <= value <= high for value, (low, high) in held]
    one, two, three, four = 100 * hits / trials
    return f"{one:>6.1f} % {two:>10.1f} % {three:>8.1f} % {four:>11.1f} %"


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
