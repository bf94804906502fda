"""Held-out combinations: checks 10^6 items of each split of each design, and measures the cost of drawing.

An item is wrong if its combination is held out but it is in train, validation or evaluation, or the reverse for
held_out. The combination is recomputed from the item's factors. Items so close to a cell's edge that rounding decides
are left out. The second table has CPU seconds for 10,000 images of 64x64: the median of all rounds, in turns.
"""

import argparse
import statistics
import sys
import time

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import ShapeDataSource, SpuriousCue
from ai_library.tests.data.test_factor_grid import DESIGNS, THIN, expected

IMAGES = 10_000


def judged(name, n):
    """A line of the first table."""
    source = ShapeDataSource(seed=3, sizes=(n,) * 4, hold_out=DESIGNS[name], ranges=THIN)
    wrong, unsure, seconds = [], 0, []
    for split in source.splits:
        start = time.process_time()
        factors = source.factors(split, range(n))
        seconds.append(time.process_time() - start)
        held, cells = expected(name, factors)
        sure = ~np.isnan(np.sum(cells, axis=0))
        wrong.append(int((held[sure] != (split == "held_out")).sum()))
        unsure += int((~sure).sum())
    return f"{name:<22}{wrong[0]:>10}{wrong[1]:>12}{wrong[2]:>12}{wrong[3]:>10}{unsure:>12,}{sum(seconds) / 4:>12.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10**6, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=11, help="(%(default)s)")
    arguments = parser.parse_args()
    lines = [
        f"{'wrong items':<22}{'train':>10}{'validation':>12}{'evaluation':>12}{'held_out':>10}{'near edges':>12}"
        f"{'CPU s/split':>12}"
    ]
    lines += [judged(name, arguments.items) for name in DESIGNS]
    faults = {"label_noise": 0.2, "class_shares": range(1, 10), "spurious": SpuriousCue("noise", 0.8)}
    ways = {
        "as usual": {},
        "ladder held out": {"hold_out": DESIGNS["ladder, 1"]},
        "all but 1 of 1,024 cells": {"hold_out": DESIGNS["all but one"], "ranges": THIN},
        "all faults": faults,
        "ladder and all faults": {"hold_out": DESIGNS["ladder, 1"], **faults},
    }
    sources = {name: ShapeDataSource(sizes=(10**6, 1, 1), **way) for name, way in ways.items()}
    taken = {name: [] for name in ways}
    rng = np.random.default_rng(0)
    for turn in range(arguments.rounds + 1):
        for name, source in sources.items():
            start = time.process_time()
            source.examples("train", rng.integers(0, 10**6, IMAGES))
            if turn:  # the first compiles
                taken[name].append(time.process_time() - start)
    lines += ["", f"{f'{IMAGES:,} images':<28}{'CPU s':>8}{'to usual':>10}"]
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, taken["as usual"], strict=True))
        lines.append(f"{name:<28}{statistics.median(seconds):>8.3f}{ratio:>10.2f}")
    keep("held_out", lines, "jax", "numpy")


if __name__ == "__main__":
    main()
