"""Kills the training scripts at random moments, resumes them, and compares the end with that of an uninterrupted run.

    python benchmarks/kill_training.py [--kills 20] [--mnist-files DIR]

A run, which writes a checkpoint after every step, is killed (SIGKILL) a random time after its first checkpoint, and
resumed. When it ends, its last checkpoint, history, curves and model are compared byte by byte with those of the
uninterrupted run. Then the next run begins, until there were enough kills.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import ROOT, keep
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--mnist-files", type=Path)
    arguments = parser.parse_args()
    seed = time.time_ns() % 2**32
    rng = random.Random(seed)
    scripts = {"shapes": ["train_shapes.py", "--epochs", "2"]}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.mnist_files:
            files = ["--mnist-files", str(arguments.mnist_files), "--data-dir", f"{folder}/data"]
            scripts["MNIST"] = ["train_mnist.py", "--preset", "fast", *files]
        lines = [f"moments drawn with seed {seed}", ""]
        for name, command in scripts.items():
            lines.append(f"{name}: {kill_and_compare(command, Path(folder, name), arguments.kills, rng)}")
    keep("kill_training", lines, "jax", "jaxlib", "flax")


def kill_and_compare(command, folder, wanted, rng) -> str:
    """Kills a script's runs until there were enough kills; returns lines on the result."""
    folder.mkdir()
    started = time.monotonic()
    start(command, folder / "whole").wait()
    whole, seconds = left_behind(folder / "whole"), time.monotonic() - started
    kills, writing, runs, unequal = 0, 0, 0, 0
    while kills < wanted:
        run, runs = folder / f"run{runs}", runs + 1
        while True:
            process = start(command, run, resume=any((run / "checkpoints").glob("*.msgpack")))
            if kills < wanted:
                before = newest_checkpoint(run)
                while process.poll() is None and newest_checkpoint(run) == before:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, seconds / 16))
                process.kill()
            if process.wait() == 0:
                break
            kills += 1
            writing += any((run / "checkpoints").glob(".*"))
        unequal += left_behind(run) != whole
    return (
        f"{kills} kills ({writing} of them while a checkpoint was written) in {runs} runs; {runs - unequal} of "
        f"{runs} ended with the same bytes as the run that was not interrupted ({seconds:.0f} s)"
    )


def start(command, run, resume=False):
    options = ["--run-dir", str(run), "--model", f"{run}.msgpack", "--checkpoint-seconds", "0"]
    return subprocess.Popen(
        [sys.executable, f"scripts/{command[0]}", *command[1:], *options, *["--resume"][:resume]],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def newest_checkpoint(run):
    return max((run / "checkpoints").glob("[0-9]*.msgpack"), default=None)


def left_behind(run):
    """The bytes of the last checkpoint, history and model, and the rows of the curves."""
    last = newest_checkpoint(run)
    rows = []
    for split in ("train", "validation"):
        curves = EventAccumulator(str(run / split), size_guidance={"scalars": 0})
        curves.Reload()
        rows += [[(row.step, row.value) for row in curves.Scalars(tag)] for tag in ("loss", "accuracy")]
    model = run.with_name(f"{run.name}.msgpack")
    return last.name, last.read_bytes(), (run / "history.csv").read_bytes(), model.read_bytes(), rows


if __name__ == "__main__":
    main()
