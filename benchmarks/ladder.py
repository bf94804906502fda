"""Accuracy on combinations of four factors that training left out, by how much of them training showed, over seeds.

    python benchmarks/ladder.py --name ladder

It follows the orthotopic evaluation of Camposampiero et al. (Scalable Evaluation and Neural Models for Compositional
Generalization, NeurIPS 2025), on shapes: a network predicts class, size, x and y of an image. Each has four values,
of which two are rare. At step `known`, training shows all combinations of at most that many rare values. All steps, and
a control that is shown everything, have equally many images and epochs.

Values are every other cell of a grid of seven, so that no two of them are alike; images of the cells between are left
out. An image is right if all four factors are. The label is the combination. The logit of a combination is
the sum of four logits, one per factor: its softmax is the product of four softmaxes, and its cross-entropy the sum of
theirs. So the network can predict any combination, whether or not training showed it.

The study is kept in a folder: the same command resumes an interrupted run.
"""

import argparse
import json
import os
import sys
import time
from functools import lru_cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import (
    CNN,
    Condition,
    DataSource,
    FactorGrid,
    ShapeDataSource,
    ShapeRanges,
    Study,
    TrainConfig,
    evaluate,
)
from ai_library.laboratory.results import StudyResults
from ai_library.networks.network import Network
from ai_library.runtime.cpu import keep_freed_memory, share_out_cores

CLASSES, RARE = ("ellipse", "square", "star", "cross"), ("star", "cross")
CELLS = 7
"""Of each of size, x and y; 0, 2, 4 and 6 are the values, of which 4 and 6 are rare."""
GRID = FactorGrid(size=CELLS, x=CELLS, y=CELLS)
VALUES = (len(CLASSES), 4, 4, 4)
SIDE = 64
FACTORS = ("class", "size", "x", "y")
RANGES = ShapeRanges(
    size=(0.14, 0.34), outlined=0.0, contrast=(0.8, 1.0), gradient=(0.0, 0.1), noise=(0.0, 0.02), blur=(0.0, 0.01)
)
STEPS = {"one known": 1, "two known": 2, "three known": 3}
CONTROL = "all known"
PAPER = {"one known": "21.4 +- 1.1", "two known": "86.7 +- 4.8", "three known": "97.9 +- 1.5"}
"""ResNet-18 on dSprites (shape, scale, x, y), held out; held in it has 100.0."""


class Combinations(DataSource):
    """Shapes labelled by the combination of class, size, x and y; `known` as `FactorGrid.ladder` has it, or None."""

    def __init__(self, *, seed: int = 0, known: int | None = None, sizes: tuple[int, ...] = (8_000, 1_000, 2_000)):
        hold_out = None if known is None else GRID.ladder(known, RARE, rare=3)
        drawn = 10 * max(sizes)  # of which 1 in 5 is of the values, or 1 in 3 of those that are held out
        self._shapes = ShapeDataSource(
            seed=seed, image_size=SIDE, class_names=CLASSES, sizes=(drawn,) * 3, ranges=RANGES, hold_out=hold_out
        )
        self.splits: tuple[str, ...] = self._shapes.splits
        self._sizes = dict(zip(self.splits, [*sizes, sizes[-1]], strict=False))
        names = [" ".join(map(str, (CLASSES[label], *cells))) for label, *cells in np.ndindex(VALUES)]
        super().__init__(seed=seed, image_shape=self._shapes.image_shape, class_names=names)

    def load(self, split: str):
        factors = self._shapes.factors(split, range(self._shapes.size(split)))
        low, high = RANGES.size
        room = SIDE / 2 - factors.size[:, np.newaxis]
        places = ((factors.center - SIDE / 2) / room + 1) / 2
        unit = np.column_stack([(factors.size / SIDE - low) / (high - low), places])
        cells = np.clip(unit * CELLS, 0, CELLS - 1).astype(int)
        chosen = np.flatnonzero((cells % 2 == 0).all(axis=1))[: self._sizes[split]]
        labels = np.ravel_multi_index((factors.label[chosen], *(cells[chosen] // 2).T), VALUES)
        return self._shapes.examples(split, chosen)[0], labels


class FactorNetwork(Network):
    """The logits of combinations, each the sum of a logit for each factor."""

    SPLITS_BATCHES = True  # as the network that it is made of

    num_classes: int
    values: tuple[int, ...] = VALUES

    @nn.compact
    def __call__(self, images: jax.Array, train: bool, axis_name: str | None = None) -> jax.Array:
        logits = CNN(sum(self.values))(images, train, axis_name)
        joint, *others = jnp.split(logits, np.cumsum(self.values)[:-1], axis=1)
        for each in others:
            joint = (joint[:, :, np.newaxis] + each[:, np.newaxis]).reshape(len(images), -1)
        return joint


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="of the file in benchmarks/results; without one nothing is kept")
    parser.add_argument("--seeds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--sizes", type=int, nargs=3, default=(8_000, 1_000, 2_000), help="of the splits (%(default)s)")
    parser.add_argument("--folder", type=Path, default=ROOT / "studies/ladder", help="of the study")
    arguments = parser.parse_args()
    config, sizes = TrainConfig(epochs=arguments.epochs), tuple(arguments.sizes)
    share_out_cores(config.batch_size)
    keep_freed_memory()
    began, network = time.monotonic(), FactorNetwork(int(np.prod(VALUES)))
    source = lru_cache(maxsize=8)(partial(Combinations, sizes=sizes))  # the images of a seed or two
    study = Study(
        {
            name: Condition(network=network, source=partial(source, known=known), config=config)
            for name, known in {CONTROL: None, **STEPS}.items()
        },
        seeds=arguments.seeds,
        folder=arguments.folder,
    )
    study.run()
    rows = measured(study, source)
    cpu = sum(os.times()[:4])
    lines = [
        f"{sizes[0]:,} images of {SIDE}x{SIDE}, {config.epochs} epochs; {sizes[2]:,} images of each kind to measure on",
        f"{arguments.seeds} seeds; Student's 95 % intervals over seeds",
        f"this call took {time.monotonic() - began:.0f} s, {cpu:.0f} s of CPU",
        "",
        *table(study, rows),
    ]
    keep(arguments.name, lines, "jax", "flax", "optax") if arguments.name else print("\n".join(lines))


def measured(study, source):
    """What each run has right, by what it is measured on, what is asked for, and condition and seed."""
    rows = {}
    for seed in study.seeds:
        for name in study.conditions:
            path = study.folder / "runs" / name / f"seed-{seed}" / "measured.json"
            if not path.exists():
                path.write_text(json.dumps(measure(study.classifier(name, seed), source, name, seed)))
            for what, figures in json.loads(path.read_text()).items():
                for figure, accuracy in figures.items():
                    rows.setdefault((what, figure), {})[name, seed] = {"outcome": "done", "accuracy": accuracy}
    return rows


def measure(classifier, source, name, seed):
    """What a run has right, by what it is measured on and what is asked for."""
    # The control is measured on what each step holds out; the steps on that, and on what all of them hold out.
    seen = STEPS if name == CONTROL else dict.fromkeys([name, [*STEPS][-1]])
    splits = {"held in": (STEPS.get(name), "evaluation")} | {step: (STEPS[step], "held_out") for step in seen}
    found = {}
    for what, (known, split) in splits.items():
        report = evaluate(classifier, source(known=known, seed=seed), split)
        right = np.equal(*[np.unravel_index(each, VALUES) for each in (report.predictions, report.labels)])
        hits = {"all": right.all(axis=0), **dict(zip(FACTORS, right, strict=True))}
        found[what] = {figure: float(each.mean()) for figure, each in hits.items()}
    return found


def table(study, rows):
    """The lines of the tables."""

    def results(what, figure, conditions):
        return StudyResults(
            conditions=conditions, seeds=study.seeds, runs=rows[what, figure], split=what, baseline=conditions[0]
        )

    def shown(what, figure, name):
        mean = results(what, figure, (name,)).summaries[0].mean
        interval = "-" if np.isnan(mean.low) else f"{100 * mean.low:.1f} to {100 * mean.high:.1f}"
        return f"{100 * mean.value:.1f} ({interval})"

    def deviation(what, figure, name):
        return f"{100 * results(what, figure, (name,)).summaries[0].deviation:.1f}"

    yield "all factors right, in percent; +- is the standard deviation over seeds"
    heads = f"{'held in':>23} {'held out':>23} {'+-':>5} {'the same, all known':>23}"
    yield f"{'':<12} {heads}   {'the paper, held out':>19}"
    yield f"{CONTROL:<12} {shown('held in', 'all', CONTROL):>23}"
    for name in STEPS:
        ours = f"{shown('held in', 'all', name):>23} {shown(name, 'all', name):>23} {deviation(name, 'all', name):>5}"
        yield f"{name:<12} {ours} {shown(name, 'all', CONTROL):>23}   {PAPER[name]:>19}"
    yield ""
    yield "each factor right, in percent, on what the step holds out"
    yield " ".join([f"{'':<12}", *(f"{factor:>23}" for factor in FACTORS)])
    for name in STEPS:
        yield " ".join([f"{name:<12}", *(f"{shown(name, factor, name):>23}" for factor in FACTORS)])
    last = [*STEPS][-1]
    for figure in ("all", "class"):
        yield from ["", f"{figure} right, on the same images: those of four rare values, which all steps hold out"]
        yield str(results(last, figure, (CONTROL, *STEPS)))


if __name__ == "__main__":
    main()
