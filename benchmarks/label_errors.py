"""How many wrong labels confident learning finds: among shapes some of whose labels were flipped, and in MNIST.

    python benchmarks/label_errors.py [--images 20000] [--epochs 4] [--folds 4]
    python benchmarks/label_errors.py --mnist-files DIR     # draws the first 50 of MNIST's training set into docs/

The flipped labels are known, so precision (the share of listed labels that are wrong) and recall (the share of wrong
labels that are listed) can be computed. "At k" means the k images with the least probable labels, where k labels were
flipped. Results are kept only for 20,000 images; the goals are 95 % precision at k and 90 % recall.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))
FLIPPED = 0.02
IMAGES = 20_000
PICTURE = ROOT / "docs" / "mnist_label_errors.png"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="shapes (%(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="of each fold on the shapes (%(default)s)")
    parser.add_argument("--folds", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="MNIST's files: looks through these instead")
    arguments = parser.parse_args()
    from ai_library.runtime.cpu import keep_freed_memory, share_out_cores

    share_out_cores(128)
    keep_freed_memory()
    if arguments.mnist_files:
        mnist(arguments)
        return
    lines = shapes(arguments)
    if arguments.images == IMAGES:
        keep("label_errors", lines, "jax", "flax", "numpy")
    else:
        print("\n".join(lines))


def shapes(arguments):
    """Flips labels of drawn shapes, and counts how many of them are found."""
    from ai_library import CNN, ArrayDataSource, ShapeDataSource, TrainConfig, find_label_errors, predict_out_of_fold

    drawn = ShapeDataSource(seed=arguments.seed, sizes=(arguments.images, 1, 1))
    images, true = drawn.examples("train", range(arguments.images))
    rng = np.random.default_rng(arguments.seed)
    flipped = rng.choice(len(true), round(FLIPPED * len(true)), replace=False)
    labels = true.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, drawn.num_classes, len(flipped))) % drawn.num_classes
    source = ArrayDataSource(train=(images, labels), class_names=drawn.class_names, seed=arguments.seed)
    config = TrainConfig(epochs=arguments.epochs, seed=arguments.seed)
    start = time.perf_counter()
    report = predict_out_of_fold(CNN(num_classes=drawn.num_classes), source, config, arguments.folds)
    seconds = time.perf_counter() - start
    errors = find_label_errors(report.labels, report.probabilities)
    of_label = report.probabilities[np.arange(report.n), report.labels]
    first = np.argsort(of_label, kind="stable")[: len(flipped)]
    hits, hits_at_k = (np.isin(found, flipped).sum() for found in (errors.indices, first))
    return [
        f"{len(labels):,} shapes, {len(flipped):,} labels flipped at random ({FLIPPED:.0%}); "
        f"{arguments.folds} folds of {arguments.epochs} epochs, seed {arguments.seed}",
        f"accuracy of the out-of-fold predictions, against the labels as they are: {report.accuracy:.2%}",
        f"listed as probably wrong: {len(errors):,}, of which {hits:,} were flipped",
        f"precision {hits / max(len(errors), 1):.3f}, recall {hits / len(flipped):.3f}",
        f"precision (and recall) at k = {len(first):,}: {hits_at_k / len(flipped):.3f}",
        f"seconds, training included: {seconds:.0f}",
    ]


def mnist(arguments):
    """Draws the 50 most suspicious labels of MNIST's training set."""
    from ai_application.configs import MNIST_RECIPES
    from ai_application.mnist import MnistDataSource
    from ai_library import find_label_errors, predict_out_of_fold

    source = MnistDataSource(files=arguments.mnist_files, seed=arguments.seed)
    source.splits = ("train", "validation")  # together the 60,000 of the training set
    model, config = MNIST_RECIPES["fast"]
    report = predict_out_of_fold(model, source, config, arguments.folds)
    errors = find_label_errors(report.labels, report.probabilities)
    parts = [source.examples(split, range(source.size(split)))[0] for split in source.splits]
    images = np.concatenate(parts)[errors.indices[:50]]
    print(f"out of fold: accuracy {report.accuracy:.2%}; {len(errors):,} labels of {report.n:,} are probably wrong")
    draw(images, errors, source.class_names)
    print(f"the first {len(images)} are drawn in {PICTURE}")


def draw(images, errors, names):
    """A picture of the images, each with its label and what it was predicted to be."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(5, 10, figsize=(10, 6.2))
    for place, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{names[errors.labels[place]]} → {names[errors.suggested[place]]}", fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
