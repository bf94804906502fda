"""Seconds and peak memory as the number of images grows: an epoch's batches, training on them, and prediction.

draw      all batches of 128 of a shuffled epoch, as training takes them
train     one epoch by the `Trainer` with a small network, so that the trainer's own memory is measured
predict   `predict.py` on a folder of links to the committed evaluation images, all side by side
labelled  the same in a sub-folder for each class; the metrics need the probabilities of all such images
classes   `predict.py` on labelled images of an npz file with a small network for 1,000 classes

Each line is a whole process. A straight line, seconds = start + images * each, is fitted to each kind by relative least
squares. The largest relative distance of a point from it is printed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

IMAGES = ROOT / "ai_application/evaluation/shapes"
COUNTS = {
    "draw": (10**3, 10**4, 10**5, 10**6, 10**7),
    "train": (10**3, 10**4, 10**5, 10**6),
    "predict": (10**2, 10**3, 10**4, 10**5, 10**6),
    "labelled": (10**3, 10**4, 10**5),
    "classes": (10**3, 10**4, 2 * 10**4, 4 * 10**4),
}
STANDARD = 10**5  # the other peaks are compared with the one of so many images


def draw(count):
    """Draws an epoch of `count` images."""
    from ai_library import ShapeDataSource

    source = ShapeDataSource(sizes=(count, 1, 1))
    drawn = sum(len(images) for images, _ in source.batches("train", 128, epoch=0))
    if drawn != count:
        raise RuntimeError(f"an epoch of {count} images held {drawn}")


def train(count):
    """Trains on `count` images."""
    from ai_library import CNN, ShapeDataSource, TrainConfig, Trainer

    source = ShapeDataSource(sizes=(count, 100, 1))
    model = CNN(num_classes=9, features=(8,) * 5, dense=16, patch=8)
    with tempfile.TemporaryDirectory() as place:
        Trainer(model, source, TrainConfig(batch_size=128, learning_rate=1e-3), Path(place) / "run").fit()


def measured(command):
    """Seconds and peak resident bytes of a process, which must end with status 0."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # already collected, so Popen cannot wait for it
    if process.returncode:
        raise RuntimeError(f"{command} ended with status {process.returncode}")
    return seconds, usage.ru_maxrss * 1024


def measured_prediction(count, classes):
    """The same of a prediction of `count` images."""
    originals = sorted(IMAGES.glob("*/*.png"))
    with tempfile.TemporaryDirectory() as place:
        images, results = Path(place) / "images", Path(place) / "results"
        for original in originals:
            (images / original.parent.name if classes else images).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            original = originals[index % len(originals)]
            (images / (original.parent.name if classes else "") / f"{index:07}.png").symlink_to(original)
        figures = measured(["scripts/predict.py", "--data", images, "--output", results])
        with open(results / "predictions.csv") as file:
            rows = sum(1 for _ in file) - 1
    if rows != count:
        raise RuntimeError(f"predict.py wrote {rows} rows for {count} images")
    return figures


def measured_classes(count, classes=1000):
    """The same of a prediction of `count` images of so many classes."""
    from ai_library import CNN, Classifier, save_model

    network, shape = CNN(num_classes=classes, features=(8,) * 5, dense=16, patch=8), (16, 16, 1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        model, data = Path(place) / "model", Path(place) / "images.npz"
        save_model(model, Classifier(network, network.initialise(0, shape), tuple(map(str, range(classes))), shape))
        np.savez(data, images=rng.integers(0, 256, (count, *shape), np.uint8), labels=rng.integers(0, classes, count))
        return measured(["scripts/predict.py", "--model", model, "--data", data, "--output", Path(place) / "results"])


def measure(kind, count):
    if kind == "classes":
        return measured_classes(count)
    if kind in ("draw", "train"):
        return measured([__file__, "--worker", kind, count])
    return measured_prediction(count, classes=kind == "labelled")


def farthest_from_line(counts, seconds):
    """The largest relative distance of the points from the line that is fitted to them by relative least squares."""
    line = np.stack([np.ones(len(counts)), counts], axis=1) / np.array(seconds)[:, None]
    fitted = np.linalg.lstsq(line, np.ones(len(counts)))[0]
    return np.abs(line @ fitted - 1).max()


def table(found):
    """The lines of {kind: {count: (seconds, bytes)}}."""
    lines = [f"{'':<9}{'images':>11}{'seconds':>9}{'images/s':>10}{'peak MB':>9}{'times that of 10^5':>20}"]
    for kind, figures in found.items():
        standard = figures.get(STANDARD, (0, None))[1]
        for count, (seconds, peak) in figures.items():
            ratio = f"{peak / standard:.3f}" if standard else "-"
            lines.append(f"{kind:<9}{count:>11,}{seconds:>9.1f}{count / seconds:>10,.0f}{peak / 1e6:>9.0f}{ratio:>20}")
        if len(figures) > 2:
            distance = farthest_from_line(list(figures), [seconds for seconds, _ in figures.values()])
            lines.append(f"{'':<9}seconds lie at most {distance:.0%} off a straight line")
    return lines


def plot(found, path):
    """Two panels, seconds and peak memory over the number of images."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for kind, figures in found.items():
        seconds, peaks = np.array(list(figures.values())).T
        left.loglog(list(figures), seconds, marker="o", markersize=4, label=kind)
        right.semilogx(list(figures), peaks / 1e6, marker="o", markersize=4, label=kind)
    left.set(xlabel="images", ylabel="seconds of the process")
    right.set(xlabel="images", ylabel="peak memory in MB", ylim=(0, None))
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    left.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=COUNTS, default=list(COUNTS), help="(all)")
    parser.add_argument("--most", type=int, default=10**7, help="leaves out what has more images (%(default)s)")
    parser.add_argument("--name", default="growth", help="of the files in benchmarks/results (%(default)s)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, count = arguments.worker
        {"draw": draw, "train": train}[kind](int(count))
        return
    found = {}
    for kind in arguments.kinds:
        found[kind] = {}
        for count in COUNTS[kind]:
            if count <= arguments.most:
                found[kind][count] = seconds, peak = measure(kind, count)
                print(f"{kind} {count:,}: {seconds:.1f} s, {peak / 1e6:.0f} MB", file=sys.stderr, flush=True)
    keep(arguments.name, table(found), "jax", "numpy", "pillow")
    plot(found, ROOT / f"benchmarks/results/{arguments.name}.png")


if __name__ == "__main__":
    main()
