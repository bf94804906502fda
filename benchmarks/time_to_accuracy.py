"""Seconds from the start of a process to a model with 99.0 % on images it never saw: ours, and the peers' examples.

On MNIST ours is `scripts/train_mnist.py --preset fast`, on shapes `scripts/train_shapes.py`, each from a fresh process
to its saved model, evaluation included. The peers are the example networks of PyTorch and Keras, on the same images.
They stop after the first epoch that reaches the target or ends after the time limit, or after their own number of
epochs. The data are prepared beforehand, except for `train_shapes.py`, which draws its own during training.
All take turns, seed by seed. Each seed has its own shapes.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example_data import write_mnist, write_shapes
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_application.mnist import MnistDataSource
from ai_library import ShapeDataSource, load_model

TARGET = 0.99
GIVE_UP = {"mnist": 900, "shapes": 300}
OURS = "ai_library"
NAMES = (OURS, "pytorch", "keras")


class Contest:
    """One data set: what each contestant's run takes."""

    def __init__(self, data, folder, mnist_files, give_up):
        self.data, self._folder, self._mnist_files = data, Path(folder), mnist_files
        self.give_up = give_up or GIVE_UP[data]
        if data == "mnist":
            MnistDataSource(data_dir=self._folder / "data", files=mnist_files).size("evaluation")  # prepares the data
            write_mnist(self._folder / "mnist.npz", mnist_files)

    def prepare(self, seed):
        """Draws the shapes that `train_shapes.py` will draw with this seed."""
        if self.data == "shapes":
            write_shapes(self._folder / "shapes.npz", ShapeDataSource(seed=seed))

    def run(self, name, seed):
        """(accuracy, seconds) of one contestant's whole process."""
        accuracy, seconds = self._ours(seed) if name == OURS else self._peer(name, seed)
        print(f"{self.data}, seed {seed}: {name} {accuracy:.2%} in {seconds:.1f} s", file=sys.stderr, flush=True)
        return accuracy, seconds

    def _ours(self, seed):
        run = self._folder / f"{self.data}-{seed}"
        command = [sys.executable, f"scripts/train_{self.data}.py", f"--seed={seed}"]
        command += [f"--model={run}.msgpack", f"--run-dir={run}"]
        if self.data == "mnist":
            command += ["--preset=fast", f"--data-dir={self._folder}/data", f"--mnist-files={self._mnist_files}"]
        start = time.time()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        model = Path(f"{run}.msgpack")
        seconds = model.stat().st_mtime - start  # the page about it is written afterwards
        return load_model(model).metrics["evaluation"]["accuracy"], seconds

    def _peer(self, name, seed):
        command = [sys.executable, f"benchmarks/peer_example_{name}.py", f"--seed={seed}", f"--target={TARGET}"]
        command += [f"--data={self._folder}/{self.data}.npz", f"--give-up={self.give_up}", f"--start={time.time()}"]
        done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        _, accuracy, seconds = done.stdout.splitlines()[-1].split()
        return float(accuracy), float(seconds)


def table(data, runs, give_up):
    """The lines of a data set's runs {seed: {name: (accuracy, seconds)}}."""
    lines = [data, f"{'seed':>4}" + "".join(f"{name:>26}" for name in NAMES)]
    for seed, row in runs.items():
        cells = (f"{seconds:.1f} s to {accuracy:.2%}{_missed(accuracy)}" for accuracy, seconds in row.values())
        lines.append(f"{seed:>4}" + "".join(f"{cell:>26}" for cell in cells))
    lines.append("")
    for name in NAMES:
        accuracies, seconds = zip(*(row[name] for row in runs.values()), strict=True)
        deviation = f" ± {statistics.stdev(seconds):.1f}" if len(seconds) > 1 else ""
        times = statistics.median(row[name][1] / row[OURS][1] for row in runs.values())
        reached = sum(accuracy >= TARGET for accuracy in accuracies)
        least = "" if reached == len(runs) else "at least "
        lines.append(
            f"{name:<12}{statistics.mean(seconds):7.1f} s{deviation}, {least}{times:.1f} times ours; {reached} of "
            f"{len(runs)} runs reached {TARGET:.1%}, mean accuracy {statistics.mean(accuracies):.2%}"
        )
    if any(_missed(accuracy) for row in runs.values() for accuracy, _ in row.values()):
        lines.append(f"* not reached: the run ended at its last epoch or after {give_up} s")
    return [*lines, ""]


def _missed(accuracy):
    return "" if accuracy >= TARGET else "*"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=(*GIVE_UP, "both"), default="both", help="(%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (%(default)s)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="the four official files")
    parser.add_argument("--give-up", type=int, metavar="S", help=f"seconds after which peers stop ({GIVE_UP})")
    arguments = parser.parse_args()
    chosen = tuple(GIVE_UP) if arguments.data == "both" else (arguments.data,)
    if "mnist" in chosen and arguments.mnist_files is None:
        parser.error("MNIST needs --mnist-files DIR")
    files = arguments.mnist_files and arguments.mnist_files.resolve()

    with tempfile.TemporaryDirectory() as folder:
        contests = [Contest(data, folder, files, arguments.give_up) for data in chosen]
        runs = {contest.data: {} for contest in contests}
        for seed in range(arguments.seeds):
            for contest in contests:
                contest.prepare(seed)
                runs[contest.data][seed] = {name: contest.run(name, seed) for name in NAMES}
                lines = table(contest.data, runs[contest.data], contest.give_up)
                keep(f"time_to_accuracy_{contest.data}", lines, "jax", "flax", "torch", "keras")  # row by row


if __name__ == "__main__":
    main()
