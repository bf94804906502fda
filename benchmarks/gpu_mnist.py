"""Time to 99 % of MNIST's test images on a GPU, without imports: `python benchmarks/gpu_mnist.py FOLDER`.

FOLDER has MNIST's four files. A run's seconds include validation. The first run, which also compiles, is reported
separately. 5,000 of the training images are used to choose the epoch.
"""

import argparse
import gzip
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import CNN, ArrayDataSource, Augmentation, TrainConfig, Trainer, evaluate


def read(folder, name):
    data = gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--name")
    arguments = parser.parse_args()
    train, test = (
        tuple(read(arguments.folder, f"{part}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        for part in ("train", "t10k")
    )

    def run(seed, run_dir=False):
        source = ArrayDataSource(train=train, validation=5000 / 60_000, evaluation=test, seed=seed)
        config = TrainConfig(
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            precision=arguments.precision,
            label_smoothing=0.1,
            augmentation=Augmentation(shift=1),
            seed=seed,
        )
        model = CNN(num_classes=10, patch=2)
        start = time.perf_counter()
        trainer = Trainer(model, source, config, run_dir, verbose=False)
        classifier = trainer.fit()
        trained = time.perf_counter() - start
        report = evaluate(classifier, source)
        return trained, time.perf_counter() - start, report.accuracy, classifier

    device = jax.devices()[0]
    lines = [f"on {device.device_kind}, {arguments}"]
    first = run(100)
    lines.append(
        f"the first run, which compiles: {first[0]:.2f} s, {first[1]:.2f} s with its evaluation, {first[2]:.2%}"
    )
    runs = [run(seed) for seed in range(arguments.seeds)]
    for seed, (trained, evaluated, accuracy, _) in enumerate(runs):
        lines.append(f"seed {seed}: {trained:.2f} s, {evaluated:.2f} s with its evaluation, {accuracy:.2%}")
    accuracies = [accuracy for *_, accuracy, _ in runs]
    lines.append(
        f"mean: {statistics.mean(seconds for seconds, *_ in runs):.2f} s, {statistics.mean(accuracies):.2%} +- "
        f"{statistics.stdev(accuracies):.2%}"
    )
    again = run(0)[3]
    same = all(map(np.array_equal, jax.tree.leaves(runs[0][3].variables), jax.tree.leaves(again.variables)))
    lines.append(f"seed 0 once more gives {'the same' if same else 'other'} bits")
    with tempfile.TemporaryDirectory() as folder:
        seconds, *_ = run(0, Path(folder) / "run")
        lines.append(f"seed 0 with a run directory: {seconds:.2f} s")
    keep(arguments.name, lines, "jax", "jaxlib", "flax") if arguments.name else print("\n".join(lines))


if __name__ == "__main__":
    main()
