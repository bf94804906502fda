"""Accuracy and time of each of the library's networks on the shapes, over several seeds.

Each is trained as `train_shapes.py` trains the default network, and evaluated on the 10,000 evaluation images.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="(%(default)s)")
    arguments = parser.parse_args()
    from ai_library import NETWORKS, TrainConfig
    from ai_library.runtime.cpu import keep_freed_memory, share_out_cores

    share_out_cores(TrainConfig.batch_size)
    keep_freed_memory()
    lines = [
        f"{arguments.epochs} epochs of 20,000 drawn images, {arguments.seeds} seeds of data and weights",
        f"{'network':<10}{'parameters':>12}{'accuracy':>22}{'seconds of fit':>18}",
    ]
    for name, kind in NETWORKS.items():
        lines.append(row(name, kind, arguments))
        print(lines[-1], flush=True)
    keep("library_networks", lines, "jax", "flax", "optax")


def row(name, kind, arguments):
    """A network's line of the table."""
    import jax

    from ai_library import ShapeDataSource, TrainConfig, Trainer, evaluate

    accuracies, seconds = [], []
    for seed in range(arguments.seeds):
        source, config = ShapeDataSource(seed=seed), TrainConfig(epochs=arguments.epochs, seed=seed)
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            classifier = Trainer(kind(num_classes=9), source, config, Path(place) / "run", verbose=False).fit()
            seconds.append(time.perf_counter() - start)
        accuracies.append(evaluate(classifier, source).accuracy)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(classifier.variables["params"]))
    return f"{name:<10}{parameters:>12,}{_spread(accuracies, '.3%'):>22}{_spread(seconds, '.1f'):>18}"


def _spread(values, form):
    """The mean, and the deviation where there are several values."""
    mean = format(statistics.mean(values), form)
    return f"{mean} +- {format(statistics.stdev(values), form)}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
