"""Which recipe of MNIST is better, on training images that the network did not see: the test images stay unread.

    python benchmarks/mnist_folds.py DIR --conditions "Adam, 12 epochs" accurate

DIR has MNIST's four files. The 60,000 training images are divided into five folds, stratified by digit. A condition
changes the preset `accurate` (see `mnist_conditions.py`); with each fold it is trained on the others and predicts it.
As in every training, the last epoch within the noise of the best and the temperature are chosen on "validation", here
the fold itself.

Differences to the first condition are paired image by image, over the folds that both have. Trained folds are kept in
`--study-dir`: a run that was broken off goes on by the same command, and further conditions use what is there.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from measuring import keep
from mnist_conditions import CONDITIONS, CONFIG, FEWER

from ai_application.mnist import MnistDataSource
from ai_library.runtime.cpu import keep_freed_memory, share_out_cores

FOLDS = 5


class Fold(MnistDataSource):
    """One of the folds as "validation" and "evaluation", the others as "train", or `FEWER` of them."""

    def __init__(self, fold, fewer=False, **options):
        super().__init__(**options)
        self._fold, self._fewer = fold, fewer

    def load(self, split):
        images, labels = self._train_split
        held_out = np.zeros(len(labels), bool)
        held_out[np.argsort(labels, kind="stable")[self._fold :: FOLDS]] = True
        chosen = np.flatnonzero(~held_out if split == "train" else held_out)
        if self._fewer and split == "train":
            chosen = np.delete(chosen, np.s_[::12])
        return images[chosen], labels[chosen]


def train(condition, fold, arguments):
    """Trains on the other folds; returns the labels and the probabilities (n, 10) of this one, and the seconds."""

    def source_of(seed):
        return Fold(fold, condition == FEWER, files=arguments.files, data_dir=arguments.data_dir, seed=seed)

    start = time.perf_counter()
    classifier = CONDITIONS[condition](source_of)
    seconds = time.perf_counter() - start
    source = source_of(0)
    images, labels = source.examples("validation", range(source.size("validation")))
    return labels, classifier.predict_proba(images), seconds


def table(results):
    """The lines of the conditions' results {condition: {fold: (labels, probabilities, seconds)}}."""
    lines = [f"{'condition':<24}{'folds':>6}{'images':>8}{'errors':>8}{'accuracy':>10}{'log loss':>10}{'seconds':>9}"]
    for condition, folds in results.items():
        losses, wrong = of_images(folds, folds)
        seconds = np.mean([seconds for *_, seconds in folds.values()])
        of_all = f"{wrong.sum():>8}{1 - wrong.mean():>10.3%}{losses.mean():>10.5f}"
        lines.append(f"{condition:<24}{len(folds):>6}{len(wrong):>8,}{of_all}{seconds:>9.0f}")
    (first, baseline), *others = results.items()
    lines += ["", f"difference to {first!r}, in the folds of both: mean and 95 % interval over the images"]
    for condition, folds in others:
        both = [fold for fold in baseline if fold in folds]
        if both:
            pairs = zip(of_images(folds, both), of_images(baseline, both), strict=True)
            loss, wrong = (one - other for one, other in pairs)
            less, error = mean_and_error(loss)
            lines.append(
                f"{condition:<24}{len(both):>6} folds: log loss {less:+.5f} ± {error:.5f}; "
                f"{(wrong < 0).sum()} errors less, {(wrong > 0).sum()} more"
            )
    return lines


def over_seeds(results):
    """Lines on the recipes with several seeds: each beside the first of them, paired image by image."""
    recipes = {}
    for name in results:
        recipes.setdefault(name.partition(", seed ")[0], []).append(name)
    recipes = {recipe: names for recipe, names in recipes.items() if len(names) > 1}
    trained = [set(results[name]) for names in recipes.values() for name in names]
    shared = sorted(set(range(FOLDS)).intersection(*trained))
    if len(recipes) < 2 or not shared:
        return []
    lines = ["", f"recipes with several seeds, in folds {shared}: means, and 95 % intervals over the images"]
    first = None
    for recipe, names in recipes.items():
        loss, wrong = np.mean([of_images(results[name], shared) for name in names], axis=0)
        first = first or (loss, wrong)
        line = f"{recipe:<24}{len(names)} seeds: {wrong.sum():.1f} errors, log loss {loss.mean():.5f}"
        if loss is not first[0]:
            (fewer, one), (less, other) = map(mean_and_error, (wrong - first[1], loss - first[0]))
            line += f"; {len(wrong) * fewer:+.1f} ± {len(wrong) * one:.1f} errors, log loss {less:+.5f} ± {other:.5f}"
        lines.append(line)
    return lines


def mean_and_error(values):
    """The mean, and half of its 95 % interval."""
    return values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(len(values))


def averages(results):
    """Lines on what averaging the probabilities of several trained networks brings, whichever of the conditions.

    Each line has the mean over all choices of so many conditions, in the folds that all of them have.
    """
    shared = sorted(set.intersection(*(set(folds) for folds in results.values())))
    if len(results) < 2 or not shared:
        return []
    lines = ["", f"{'probabilities of several conditions averaged':<46}{'choices':>8}{'errors':>8}{'log loss':>10}"]
    for count in range(1, len(results) + 1):
        chosen = [
            of_images({fold: averaged(results[name][fold] for name in names) for fold in shared}, shared)
            for names in itertools.combinations(results, count)
        ]
        losses, wrong = (np.mean([part.sum() for part in parts]) for parts in zip(*chosen, strict=True))
        images = len(chosen[0][0])
        lines.append(f"{count:<46}{len(chosen):>8}{wrong:>8.1f}{losses / images:>10.5f}")
    always = np.all([of_images(folds, shared)[1] for folds in results.values()], axis=0)
    return [*lines, "", f"{always.sum()} images are wrong with each condition"]


def averaged(trained):
    """The labels and the mean of the probabilities of trained networks on one fold."""
    labels, probabilities = zip(*((labels, probabilities) for labels, probabilities, _ in trained), strict=True)
    return labels[0], np.mean(probabilities, axis=0)


def of_images(results, folds):
    """The log losses and the errors of all images of some folds, one after the other."""
    labels, probabilities = (np.concatenate([results[fold][part] for fold in folds]) for part in (0, 1))
    of_label = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(of_label, 1e-12)), (probabilities.argmax(1) != labels).astype(int)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="DIR")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="which (%(default)s)")
    parser.add_argument("--study-dir", type=Path, default=Path("studies/mnist_folds"), help="(%(default)s)")
    parser.add_argument("--data-dir", default="data", help="of the data that tfds prepares (%(default)s)")
    parser.add_argument("--name", default="mnist_folds", help="of the file in benchmarks/results (%(default)s)")
    arguments = parser.parse_args()
    share_out_cores(CONFIG.batch_size)
    keep_freed_memory()
    arguments.study_dir.mkdir(parents=True, exist_ok=True)
    results = {condition: {} for condition in arguments.conditions}
    for fold in arguments.folds:
        for condition in arguments.conditions:
            file = arguments.study_dir / f"{condition.replace(' ', '_')}-{fold}.npz"
            if not file.exists():
                labels, probabilities, seconds = train(condition, fold, arguments)
                np.savez(file, labels=labels, probabilities=probabilities, seconds=seconds)
            with np.load(file) as kept:
                results[condition][fold] = kept["labels"], kept["probabilities"], float(kept["seconds"])
            begun = {name: folds for name, folds in results.items() if folds}
            print("\n".join(table(begun)), file=sys.stderr, flush=True)
    keep(arguments.name, table(results) + over_seeds(results) + averages(results), "jax", "flax", "optax")


if __name__ == "__main__":
    main()
