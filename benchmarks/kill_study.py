"""Kills study.py at random moments, starts it again, and compares its table with that of a study that was not killed.

    python benchmarks/kill_study.py [--kills 10] [--workers 1]

The study has 3 conditions and 5 seeds on small images, and writes a checkpoint after every step. It is killed (SIGKILL)
a random time after it wrote something new. Every fifth time it is killed a random time after its start, which may be
during its imports. If there are several workers, all are killed. At the end, `runs.csv` is compared byte by byte.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import ROOT, keep

IMAGES = ["--image-size", "16", "--sizes", "256", "64", "200", "--class-names", "star", "circle", "cross"]
NETWORK = ["--network.features", "4", "4", "4", "4", "4", "--network.dense", "8"]
CONDITIONS = ["--condition", "plain", "--condition", "smoothed", "label-smoothing=0.2"]
CONDITIONS += ["--condition", "moved", "augmentation.shift=2"]
TRAINING = ["--epochs", "2", "--batch-size", "16", "--learning-rate", "0.02", "--checkpoint-seconds", "0"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    seed = time.time_ns() % 2**32
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        assert start(Path(folder, "whole")).wait() == 0
        seconds, wanted = time.monotonic() - began, Path(folder, "whole/runs.csv").read_bytes()
        moments, ended = [], []
        while len(moments) < arguments.kills:
            killed = Path(folder, f"killed-{len(ended)}")
            done = kill(killed, arguments, moments, seconds, rng)
            assert done or start(killed).wait() == 0
            ended.append((killed / "runs.csv").read_bytes() == wanted)
    lines = [
        f"moments drawn with seed {seed}; {arguments.workers} at once; {seconds:.0f} s without a kill",
        f"{len(moments)} kills in {len(ended)} studies, after {', '.join(map(str, moments))} of their 15 runs",
        f"{sum(ended)} of {len(ended)} ended with the same runs.csv, byte for byte",
    ]
    keep("kill_study", lines, "jax", "jaxlib", "flax")


def kill(folder, arguments, moments, seconds, rng):
    """Kills a study until there were enough kills, or it is done: whether it is. Adds how many runs each kill found."""
    while len(moments) < arguments.kills:
        workers = [start(folder) for _ in range(arguments.workers)]
        before = left(folder)
        while len(moments) % 5 and left(folder) == before and any(worker.poll() is None for worker in workers):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, seconds / 5))
        for worker in workers:
            worker.kill()
        if -signal.SIGKILL not in [worker.wait() for worker in workers]:
            return True
        moments.append(len([*folder.glob("runs/*/*/result.json")]))
    return False


def left(folder):
    """The checkpoints and results that there are."""
    return {*folder.glob("runs/*/*/result.json"), *folder.glob("runs/*/*/training/checkpoints/*.msgpack")}


def start(folder):
    command = ["scripts/study.py", "shapes", *IMAGES, *NETWORK, *TRAINING, *CONDITIONS, "--study-dir", str(folder)]
    where = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=where, stderr=where)


if __name__ == "__main__":
    main()
