"""How often the 95 % intervals of a psychometric curve contain the true value, in 2,000 simulated experiments per kind.

Each experiment draws answers at eight levels from a known curve: independently at each level, or with one random number
per image, as for images that differ only in the level. It checks the intervals of the accuracy at each level (Wilson)
and of the 75 % threshold (bootstrap). Experiments in which the library reports no threshold or no interval are
counted separately.
"""

import argparse
import sys
from multiprocessing import Pool

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library.evaluation.metrics import wilson_interval
from ai_library.laboratory.psychometric import curve_of

LEVELS, CHANCE, TARGET = np.linspace(0.1, 0.9, 8), 1 / 9, 0.75
KINDS = {
    "1,000 images, none lapses": (1000, 0.4, 12.0, 0.0, False),
    "1,000 images, 3 % lapse": (1000, 0.45, 10.0, 0.03, False),
    "1,000 images, the same at all levels": (1000, 0.45, 10.0, 0.03, True),
    "200 images, the same at all levels": (200, 0.45, 10.0, 0.03, True),
}
"""Images, midpoint, slope and lapse rate of the curve, and whether the images are the same at all levels."""


def experiment(arguments):
    """(Wilson intervals that hold the truth, of how many; whether that of the threshold does, None where none is)."""
    (n, midpoint, slope, lapse, same), seed = arguments
    truth = CHANCE + (1 - CHANCE - lapse) / (1 + np.exp(-slope * (LEVELS - midpoint)))
    share = (TARGET - CHANCE) / (1 - CHANCE - lapse)
    threshold = midpoint + np.log(share / (1 - share)) / slope
    rng = np.random.default_rng([seed, n, same])
    hits = rng.random((1 if same else len(LEVELS), n)) < truth[:, np.newaxis]
    intervals = [wilson_interval(int(right), n) for right in hits.sum(axis=1)]
    held = sum(low <= p <= high for (low, high), p in zip(intervals, truth, strict=True))
    interval = curve_of("level", LEVELS, hits, CHANCE, TARGET).threshold_interval
    return held, interval and interval[0] <= threshold <= interval[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="(%(default)s)")
    trials = parser.parse_args().trials
    lines = [f"{'coverage of 95 % intervals':<40}{'accuracy':>10}{'threshold':>11}{'none told':>11}"]
    with Pool(2) as pool:
        for name, kind in KINDS.items():
            done = pool.map(experiment, [(kind, seed) for seed in range(trials)], chunksize=20)
            told = [inside for _, inside in done if inside is not None]
            wilson = sum(held for held, _ in done) / trials / len(LEVELS)
            lines.append(f"{name:<40}{wilson:>10.1%}{np.mean(told):>11.1%}{trials - len(told):>11,}")
            print(lines[-1], flush=True)
    keep("interval_coverage", lines, "numpy", "scipy")


if __name__ == "__main__":
    main()
