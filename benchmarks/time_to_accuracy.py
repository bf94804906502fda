"""Seconds from the start of a process to a model with 99.0 % of MNIST, or 99.5 % of the shapes: ours, and the peers'.

On MNIST ours is `scripts/train_mnist.py --preset fast`, on shapes `scripts/train_shapes.py`, each from a fresh process
to its saved model, evaluation included. "pytorch" and "keras" are the example networks of PyTorch and Keras, on the
same images. They stop after the first epoch that reaches the target or ends after the time limit, or after their own
number of epochs. "recipe" is the recipe of `train_shapes.py` in PyTorch, "recipe, compiled" the same with
`torch.compile`; both stop after the recipe's epochs. No contestant finds programs that an earlier run compiled.
The data are prepared beforehand, except for `train_shapes.py`, which draws its own during training. All take turns,
seed by seed. Each seed has its own shapes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example_data import write_mnist, write_shapes
from measuring import ROOT, keep, versions_of

sys.path.insert(0, str(ROOT))

from ai_application.configs import SHAPE_RECIPE
from ai_application.mnist import MnistDataSource
from ai_library import ShapeDataSource, load_model

TARGETS = {"mnist": 0.99, "shapes": 0.995}
GIVE_UP = {"mnist": 900, "shapes": 300}
OURS = "ai_library"
PEERS = {  # script and arguments
    "pytorch": ["peer_example_pytorch.py"],
    "keras": ["peer_example_keras.py"],
    "recipe": ["peer_recipe_pytorch.py"],
    "recipe, compiled": ["peer_recipe_pytorch.py", "--compile"],
}
CHOSEN = {"mnist": ("pytorch", "keras"), "shapes": ("recipe", "recipe, compiled", "pytorch", "keras")}


class Contest:
    """One data set: what each contestant's run takes."""

    def __init__(self, data, folder, mnist_files, give_up, pytorch):
        self.data, self._folder, self._mnist_files, self._pytorch = data, Path(folder), mnist_files, pytorch
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
        script, *own = PEERS[name]
        if script == "peer_recipe_pytorch.py":
            own.append(f"--recipe={json.dumps(_settings_of(*SHAPE_RECIPE))}")
        python = self._pytorch if script.endswith("_pytorch.py") else sys.executable
        command = [python, f"benchmarks/{script}", f"--seed={seed}", f"--target={TARGETS[self.data]}", *own]
        command += [f"--data={self._folder}/{self.data}.npz", f"--give-up={self.give_up}", f"--start={time.time()}"]
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
            done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
        _, accuracy, seconds = done.stdout.splitlines()[-1].split()
        return float(accuracy), float(seconds)


def _settings_of(network, config):
    """The network's and the training's settings, without any that the recipe leaves as they are."""
    names = ("epochs", "batch_size", "learning_rate", "warmup", "optimizer_arguments")
    settings = {name: getattr(network, name) for name in ("num_classes", "features", "dense", "patch")}
    return settings | {name: getattr(config, name) for name in names} | {"flip": config.augmentation.flip}


def table(data, runs, give_up):
    """The lines of a data set's runs {seed: {name: (accuracy, seconds)}}."""
    target, names = TARGETS[data], list(next(iter(runs.values())))
    lines = [data, f"{'seed':>4}" + "".join(f"{name:>22}" for name in names)]
    for seed, row in runs.items():
        stars = {name: "" if accuracy >= target else "*" for name, (accuracy, _) in row.items()}
        cells = (f"{row[name][1]:.1f} s to {row[name][0]:.2%}{star:1}" for name, star in stars.items())
        lines.append(f"{seed:>4}" + "".join(f"{cell:>22}" for cell in cells))
    lines.append("")
    for name in names:
        accuracies, seconds = zip(*(row[name] for row in runs.values()), strict=True)
        deviation = f" ± {statistics.stdev(seconds):.1f}" if len(seconds) > 1 else ""
        times = statistics.median(row[name][1] / row[OURS][1] for row in runs.values())
        reached = sum(accuracy >= target for accuracy in accuracies)
        least = "" if reached == len(runs) else "at least "
        lines.append(
            f"{name:<18}{statistics.mean(seconds):7.1f} s{deviation}, {least}{times:.1f} times ours; {reached} of "
            f"{len(runs)} runs reached {target:.1%}, mean accuracy {statistics.mean(accuracies):.2%}"
        )
    if any(accuracy < target for row in runs.values() for accuracy, _ in row.values()):
        lines.append(f"* not reached: the run ended at its last epoch or after {give_up} s")
    return [*lines, ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=(*GIVE_UP, "both"), default="both", help="(%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (%(default)s)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="(all of the data)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="the four official files")
    parser.add_argument("--pytorch", default=sys.executable, metavar="PYTHON", help="with PyTorch (the one that runs)")
    parser.add_argument("--give-up", type=int, metavar="S", help=f"seconds after which peers stop ({GIVE_UP})")
    arguments = parser.parse_args()
    chosen = tuple(GIVE_UP) if arguments.data == "both" else (arguments.data,)
    if "mnist" in chosen and arguments.mnist_files is None:
        parser.error("MNIST needs --mnist-files DIR")
    files = arguments.mnist_files and arguments.mnist_files.resolve()

    with tempfile.TemporaryDirectory() as folder:
        contests = [Contest(data, folder, files, arguments.give_up, arguments.pytorch) for data in chosen]
        runs = {contest.data: {} for contest in contests}
        for seed in range(arguments.seeds):
            for contest in contests:
                contest.prepare(seed)
                names = (OURS, *(arguments.peers or CHOSEN[contest.data]))
                runs[contest.data][seed] = {name: contest.run(name, seed) for name in names}
                lines = table(contest.data, runs[contest.data], contest.give_up)
                lines.append(f"PyTorch: {versions_of(arguments.pytorch, 'torch')}")
                keep(f"time_to_accuracy_{contest.data}", lines, "jax", "flax", "keras")  # row by row


if __name__ == "__main__":
    main()
