"""What do label smoothing, the running mean of the weights and augmentation each bring on MNIST?

    python benchmarks/mnist_parts.py DIR

DIR has MNIST's four files. Network and optimizer are those that the preset `fast` had when this was measured, with the
three as the preset `accurate` has them; each is then left out alone. All conditions have the same epochs and seeds, and
are measured on the 10,000 test images. The study is `study.py`'s, in a folder: a run that was broken off goes on by the
same command.
"""

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import asdict

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_application.configs import MNIST_RECIPES

_, ACCURATE = MNIST_RECIPES["accurate"]
MOVES = {name: value for name, value in asdict(ACCURATE.augmentation).items() if value and name != "erase_side"}
FAST = ["--network.features", "16", "32", "32", "64", "64", "--network.dense=64"]
FAST += ["--batch-size=128", "--learning-rate=1e-2", "--optimizer=adam"]
ALL = [f"--label-smoothing={ACCURATE.label_smoothing}", f"--ema-decay={ACCURATE.ema_decay}"]
ALL += [f"--final-augmentation={ACCURATE.final_augmentation}"]
ALL += [f"--augmentation.{name}={value}" for name, value in MOVES.items()]
WITHOUT = {
    "no smoothing": ["label-smoothing=0"],
    "no running mean": ["ema-decay=0"],
    "no augmentation": [f"augmentation.{name}=0" for name in MOVES],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="DIR")
    parser.add_argument("--epochs", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--study-dir", default="studies/mnist_parts")
    parser.add_argument("--name", default="mnist_parts", help="of the file in benchmarks/results (%(default)s)")
    arguments = parser.parse_args()
    command = [sys.executable, "scripts/study.py", "mnist", "--mnist-files", arguments.files, *FAST, *ALL]
    command += [f"--epochs={arguments.epochs}", f"--seeds={arguments.seeds}", f"--study-dir={arguments.study_dir}"]
    command += ["--baseline", "all", "--condition", "all"]
    for name, changes in WITHOUT.items():
        command += ["--condition", name, *changes]
    lines = [f"all: {' '.join(ALL)}"]
    began = time.monotonic()
    for metric in ("accuracy", "log_loss"):  # the second time no run is left to do
        told = subprocess.run([*command, "--metric", metric], cwd=ROOT, check=True, capture_output=True, text=True)
        lines += ["", *told.stdout[told.stdout.index(f"{metric} on ") : told.stdout.rindex("\n\ntable ")].splitlines()]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    head = [f"epochs: {arguments.epochs}, seeds: {arguments.seeds}; {' '.join(FAST)}"]
    head += [f"this call took {time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU"]
    keep(arguments.name, [*head, *lines], "jax", "flax", "optax")


if __name__ == "__main__":
    main()
