"""The gain of a trained model on little data: 20 images per class, starting from the shapes' model or from scratch.

Both use the recipe of `train_folder.py`, by default with fewer steps. Each seed has its own
training and evaluation images, and no image is used by two seeds, so that McNemar's test can pool the errors of all
seeds. A quarter of the 20 images is used to choose the epoch.
"""

import argparse
import dataclasses
import math
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from measuring import ROOT, keep
from PIL import Image

sys.path.insert(0, str(ROOT))

from ai_application.configs import FOLDER_PATIENCE, FOLDER_RECIPE, FOLDER_STEPS
from ai_application.mnist import MnistDataSource
from ai_library import SHAPES, ArrayDataSource, Comparison, Trainer, compare, evaluate, load_model
from ai_library.tests.pillow_shapes import draw_pillow_shape

SIDE = 64
EVALUATION = 500
"""Images of a seed's evaluation, or fewer where there are no more."""
PATCH = 20
"""Side in pixels of a patch of a photograph: smaller ones are more."""
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t for the interval of a mean of so many values."""
PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "erase": 0.0}


def fitted(image):
    """A Pillow image as RGB (64, 64, 3)."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def shapes(needed, arguments):
    rng = np.random.default_rng(0)
    names = [SHAPES[index % len(SHAPES)] for index in range(needed)]
    return np.stack([fitted(draw_pillow_shape(name, rng)) for name in names]), np.arange(needed) % len(SHAPES)


def mnist(needed, arguments):
    images, labels = MnistDataSource(files=arguments.mnist_files).load("evaluation")
    return np.stack([fitted(Image.fromarray(image.squeeze(2))) for image in images]), labels


def digits(needed, arguments):
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.stack(
        [fitted(Image.fromarray((image * 255 / 16).astype(np.uint8))) for image in found.images]
    ), found.target


def textures(needed, arguments):
    """Patches of scikit-learn's two photographs. Their four parts each are the classes; some classes look alike.

    Patches do not overlap.
    """
    from sklearn.datasets import load_sample_images

    images, labels = [], []
    for photo, pixels in enumerate(load_sample_images().images):
        (height, width), side = pixels.shape[:2], PATCH
        for y in range(0, height - side + 1, side):
            for x in range(0, width - side + 1, side):
                images.append(fitted(Image.fromarray(pixels[y : y + side, x : x + side])))
                labels.append(4 * photo + 2 * (2 * y + side > height) + (2 * x + side > width))
    return np.stack(images), np.array(labels)


SETS = {"shapes": shapes, "mnist": mnist, "digits": digits, "textures": textures}


def divided(images, labels, seeds, number):
    """Yields the examples of each seed: (train, validation, evaluation), none of which another seed has."""
    order = np.random.default_rng(0).permutation(len(labels))
    of_class = [order[labels[order] == label] for label in range(labels.max() + 1)]
    there, least = min(map(len, of_class)), seeds * (number + 5)
    if there < least:
        raise SystemExit(f"{seeds} seeds of {number} images need {least} images of each class, got {there}")
    spare = min(there // seeds - number, max(5, EVALUATION // len(of_class)))
    held_out = number // 4
    for seed in range(seeds):
        own = [each[seed * (number + spare) : (seed + 1) * (number + spare)] for each in of_class]
        ranges = slice(held_out, number), slice(held_out), slice(number, None)
        parts = ([each[part] for each in own] for part in ranges)
        yield [(images[chosen], labels[chosen].astype(np.int32)) for chosen in map(np.concatenate, parts)]


def trained(source, seed, initial, arguments):
    """The report on the evaluation images of one training."""
    network, config = FOLDER_RECIPE
    per_epoch = source.size("train") / config.batch_size
    epochs = max(1, min(math.ceil(arguments.steps / per_epoch), max(10, math.ceil(FOLDER_STEPS / per_epoch))))
    least, steps = FOLDER_PATIENCE
    patience = max(least, math.ceil(steps / per_epoch))
    changed = {
        **{"seed": seed, "epochs": epochs, "patience": patience, "freeze": arguments.freeze if initial else 0},
        "augmentation": dataclasses.replace(config.augmentation, **(PLAIN if arguments.plain else {})),
    }
    model, config = network.clone(num_classes=source.num_classes), dataclasses.replace(config, **changed)
    return evaluate(Trainer(model, source, config, False, initial=initial, verbose=False).fit(), source)


def measured(name, arguments, initial):
    """The lines of a data set: accuracies of each seed, and both ways compared."""
    images, labels = SETS[name](arguments.seeds * 9 * (arguments.images + EVALUATION // 9 + 1), arguments)
    names = tuple(map(str, range(labels.max() + 1)))
    reports = []
    for seed, (train, validation, evaluation) in enumerate(divided(images, labels, arguments.seeds, arguments.images)):
        source = ArrayDataSource(
            train=train, validation=validation, evaluation=evaluation, class_names=names, seed=seed
        )
        reports.append([trained(source, seed, begin, arguments) for begin in (None, initial)])
        print(name, seed, *(f"{report.accuracy:.2%}" for report in reports[-1]), flush=True)
    scratch, begun = ([pair[way].accuracy for pair in reports] for way in range(2))
    gains = [100 * (after - before) for before, after in zip(scratch, begun, strict=True)]
    pairs = [compare(*pair) for pair in reports]
    parts = "both", "only_first", "only_second", "neither"
    both = Comparison(*(sum(getattr(each, part) for each in pairs) for part in parts))
    low, high = (100 * bound for bound in both.difference_interval)
    p = f"{both.p_value:.2g}" if both.p_value > 1e-300 else "< 1e-300"
    spread = T_95.get(len(gains), 1.96) * _deviation(gains) / math.sqrt(len(gains))
    return (
        f"{name:<10}{len(names):>8}{both.n:>8,}{_mean(scratch):>20}{_mean(begun):>20}"
        f"{f'{statistics.mean(gains):+.2f} ± {spread:.2f}':>18}{f'{low:+.2f} to {high:+.2f}':>18}{p:>10}"
    )


def _mean(accuracies):
    return f"{statistics.mean(accuracies):.2%} ± {_deviation(accuracies):.2%}"


def _deviation(values):
    return statistics.stdev(values) if len(values) > 1 else math.nan


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--images", type=int, default=20, help="of each class (%(default)s)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="(all)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="folder with the four official files")
    parser.add_argument(
        "--model", type=Path, default=ROOT / "ai_application/models/shapes.msgpack", help="(%(default)s)"
    )
    parser.add_argument("--freeze", type=int, default=0, help="layers of the model that are kept (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=400, help=f"of a training (%(default)s; the command takes {FOLDER_STEPS})"
    )
    parser.add_argument("--plain", action="store_true", help="neither recolour images nor erase parts of them")
    parser.add_argument("--name", help="of the file in benchmarks/results; without it nothing is written")
    arguments = parser.parse_args()
    start, initial = time.perf_counter(), load_model(arguments.model)
    lines = [
        f"{'data':<10}{'classes':>8}{'n':>8}{'from scratch':>20}{'from the model':>20}{'gain, points':>18}"
        f"{'McNemar, 95 %':>18}{'p':>10}"
    ]
    lines += [measured(name, arguments, initial) for name in arguments.sets]
    lines += [
        "",
        f"{arguments.images} images a class, {arguments.seeds} seeds: mean and standard deviation of the accuracy;",
        "mean gain with its 95 % interval over seeds (Student's t); interval of the gain and McNemar's exact test over",
        f"the evaluation images of all seeds together (n). {arguments.steps:,} steps each.",
        f"{time.perf_counter() - start:.0f} seconds",
    ]
    if arguments.name:
        keep(arguments.name, lines, "jax", "flax", "optax", "scikit-learn")
    else:
        print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
