"""Seconds from the start of a process to a model with 99.0 % on MNIST's test images: ours, and the peers' examples.

Ours is `scripts/train_mnist.py --preset fast`, from a fresh process to its saved model, evaluation included; its data
is prepared already, as the peers' files are. The peers are stopped after the first epoch that reaches the target.
All take turns, seed by seed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_application.mnist import MnistDataSource
from ai_library import load_model

TARGET = 0.99


def ours(seed, folder, files):
    model = Path(folder) / f"{seed}.msgpack"
    command = [sys.executable, "scripts/train_mnist.py", "--preset", "fast", f"--seed={seed}", f"--model={model}"]
    command += [f"--run-dir={folder}/{seed}", f"--data-dir={folder}/data", f"--mnist-files={files}"]
    start = time.time()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    seconds = model.stat().st_mtime - start  # the page about it is written afterwards
    return load_model(model).metrics["evaluation"]["accuracy"], seconds


def peer(name, seed, files):
    command = [sys.executable, f"benchmarks/peer_mnist_{name}.py", f"--seed={seed}", f"--mnist-files={files}"]
    done = subprocess.run(
        [*command, f"--target={TARGET}", f"--start={time.time()}"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    _, accuracy, seconds = done.stdout.splitlines()[-1].split()
    return float(accuracy), float(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="2 or more (%(default)s)")
    parser.add_argument("--mnist-files", type=Path, required=True, metavar="DIR", help="the four official files")
    arguments = parser.parse_args()
    files = arguments.mnist_files.resolve()

    names = ("ai_library", "pytorch", "keras")
    taken = {name: [] for name in names}
    lines = [f"{'seed':>4}" + "".join(f"{name:>24}" for name in names)]
    with tempfile.TemporaryDirectory() as folder:
        MnistDataSource(data_dir=f"{folder}/data", files=files).size("evaluation")  # prepares the data
        for seed in range(arguments.seeds):
            cells = []
            for name in names:
                accuracy, seconds = ours(seed, folder, files) if name == names[0] else peer(name, seed, files)
                taken[name].append((accuracy, seconds))
                cells.append(f"{seconds:7.1f} s to {accuracy:.2%}")
            lines.append(f"{seed:>4}" + "".join(f"{cell:>24}" for cell in cells))
            print(lines[-1], flush=True)
    lines.append("")
    mean = {name: statistics.mean(seconds for _, seconds in runs) for name, runs in taken.items()}
    for name, runs in taken.items():
        seconds = [second for _, second in runs]
        reached = sum(accuracy >= TARGET for accuracy, _ in runs)
        lines.append(
            f"{name:<12}{mean[name]:7.1f} s ± {statistics.stdev(seconds):.1f}, "
            f"{mean[name] / mean[names[0]]:5.1f} times ours; {reached} of {len(runs)} runs reached {TARGET:.1%}, "
            f"mean accuracy {statistics.mean(accuracy for accuracy, _ in runs):.2%}"
        )
    keep("time_to_accuracy", lines, "jax", "flax", "torch", "keras")


if __name__ == "__main__":
    main()
