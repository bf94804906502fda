"""Prediction with the same weights: ours, stock Flax, Keras on JAX, PyTorch, ONNX Runtime and, only in bulk, OpenVINO.

Bulk: images a second from memory, on three networks (see `networks.py`). Every contestant is a process of its own that
has warmed up and taken the fastest of its ways and batch sizes; they take turns of about two seconds, round by round.
Ours takes uint8 pixels and scales them itself; the peers get scaled floats.

Files: seconds of a whole process, from its start to its end, that reads a model and 64x64 PNG files and writes a table,
with the weights of `shapes.msgpack`. Ours is `scripts/predict.py`. They also take turns, after one run each on one
image, which is not counted. All must predict the same classes.

All contestants are checked against logits in float64 (see `same_weights.py`) before they are timed in bulk. Each
network and the files have results of their own.
"""

import argparse
import csv
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import same_weights
from measuring import ROOT, Worker, keep, ratio, take_turns, versions_of
from networks import NETWORKS
from training_step import KEPT_MEMORY

sys.path.insert(0, str(ROOT))

from ai_library import load_model

OURS, FLAX, KERAS, ONNX = "ours", "stock Flax", "Keras on JAX", "ONNX Runtime"
PYTORCH, OPENVINO = "PyTorch", "OpenVINO"
BULK = {
    OURS: ("ours_predict.py",),
    FLAX: ("peer_predict_flax.py",),
    KERAS: ("peer_predict_keras.py",),
    f"{PYTORCH}, float32": ("peer_predict_pytorch.py", "float32"),
    f"{PYTORCH}, bfloat16": ("peer_predict_pytorch.py", "bfloat16"),
    ONNX: ("peer_predict_onnx.py",),
    OPENVINO: ("peer_predict_openvino.py",),
}
BULK_BARS = {("P", FLAX): 1.5, ("P", KERAS): 1.5, ("P", ONNX): 1.0}  # the least ratio to reach
FILES = {  # the peers' programs, and how their model files end
    PYTORCH: (ROOT / "benchmarks/peer_predict_pytorch.py", ".pt"),
    KERAS: (ROOT / "benchmarks/peer_predict_keras.py", ".keras"),
    ONNX: (ROOT / "benchmarks/peer_predict_onnx.py", ".onnx"),
}
FILES_PART = "files"
PARTS = [*NETWORKS, FILES_PART]
SAME = 0.999  # share of the images whose class is the same as ours: a tie may be broken by rounding
SHAPES = ROOT / "ai_application/models/shapes.msgpack"
IMAGES = ROOT / "ai_application/evaluation/shapes"


def interpreter(name, arguments):
    return arguments.pytorch if name.startswith(PYTORCH) else sys.executable


def measure_bulk(weights, arguments):
    """({contestant: images a second of each round}, {contestant: the way it takes})."""
    workers = []
    try:
        for name, (script, *more) in BULK.items():
            environment = {} if name == OURS else KEPT_MEMORY
            command = script, "bulk", weights, *more
            workers.append(Worker(name, *command, python=interpreter(name, arguments), **environment))
            print(f"{Path(weights).stem}: {name} is ready", file=sys.stderr)
        rates = take_turns(workers, arguments.rounds, arguments.seconds)
    finally:
        for worker in workers:
            worker.close()
    images = {name: [units * same_weights.UNIT for units in values] for name, values in rates.items()}
    return images, {worker.name: worker.note for worker in workers}


def bulk_table(name, images, notes):
    flop = NETWORKS[name].forward_flop
    lines = [
        f"in bulk, network {name}, {flop / 1e6:.1f} MFLOP an image",
        f"{'':<20}{'images/s':>10}{'least':>9}{'most':>9}{'ours is':>14}{'wanted':>9}",
    ]
    for label, rates in sorted(images.items(), key=lambda item: -statistics.median(item[1])):
        lines.append(
            f"{label:<20}{statistics.median(rates):>10,.0f}{min(rates):>9,.0f}{max(rates):>9,.0f}"
            f"{ratio(images[OURS], rates):>8.2f} times{BULK_BARS.get((name, label), ''):>9}   {notes[label]}".rstrip()
        )
    return [*lines, ""]


class Files:
    """Whole processes on a folder of image files."""

    def __init__(self, place, weights, arguments):
        self._place, self._originals = Path(place), sorted(IMAGES.glob("*/*.png"))
        self._environment = {**os.environ, **KEPT_MEMORY}
        self._pythons = {name: interpreter(name, arguments) for name in (OURS, *FILES)}
        for name, (script, ending) in FILES.items():
            subprocess.run([self._pythons[name], script, "convert", weights, self._model(name, ending)], check=True)

    def _model(self, name, ending):
        return self._place / f"model of {name}{ending}"

    def folder(self, count):
        """Copies of the committed images, side by side."""
        folder = self._place / f"{count} images"
        if not folder.exists():
            folder.mkdir()
            for index, original in zip(range(count), itertools.cycle(self._originals), strict=False):
                shutil.copyfile(original, folder / f"{index:07}.png")
        return folder

    def run(self, name, count):
        """(seconds, classes) of one process."""
        folder, output = self.folder(count), self._place / "results"
        if name == OURS:
            command = [ROOT / "scripts/predict.py", "--model", SHAPES, "--data", folder, "--output", output]
        else:
            script, ending = FILES[name]
            command = [script, "files", self._model(name, ending), folder, output]
        environment = os.environ if name == OURS else self._environment
        start = time.perf_counter()
        done = subprocess.run([self._pythons[name], *command], env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{name} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
        if name == OURS:
            with open(output / "predictions.csv") as file:
                classes = [row["prediction"] for row in csv.DictReader(file)]
            shutil.rmtree(output)
        else:
            class_names = load_model(SHAPES).class_names
            classes = [class_names[int(line.split(",")[1])] for line in output.read_text().splitlines()]
            output.unlink()
        return seconds, classes

    def measure(self, count, rounds):
        """{contestant: seconds of each round}."""
        taken = {name: [] for name in (OURS, *FILES)}
        for _ in range(rounds):
            classes = {}
            for name, seconds in taken.items():
                one, classes[name] = self.run(name, count)
                seconds.append(one)
            for name, found in classes.items():
                same = sum(map(str.__eq__, found, classes[OURS]))
                if len(found) != count or same < SAME * count:
                    raise RuntimeError(
                        f"{name} gave {len(found)} classes, {same} of which are ours, for {count} images"
                    )
        return taken


def files_table(count, taken):
    lines = [
        f"a process that predicts {count:,} {'files' if count > 1 else 'file'}, network shapes",
        f"{'':<20}{'seconds':>10}{'least':>9}{'most':>9}{'of ours':>14}",
    ]
    for name, seconds in sorted(taken.items(), key=lambda item: statistics.median(item[1])):
        lines.append(
            f"{name:<20}{statistics.median(seconds):>10.3f}{min(seconds):>9.3f}{max(seconds):>9.3f}"
            f"{ratio(seconds, taken[OURS]):>8.2f} times"
        )
    if count == 1:
        rival = min((PYTORCH, KERAS), key=lambda name: statistics.median(taken[name]))
        share = ratio(taken[OURS], taken[rival])
        lines.append(f"  ours takes {share:.2f} times the seconds of {rival}, wanted 0.5 at most, and less than 1.5 s")
    return [*lines, ""]


def draw(cases, path):
    """One panel a case {title: ({contestant: values}, unit)}: bars of the medians, lines from the least to the most."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(cases), 1, figsize=(8, 2.6 * len(cases)), squeeze=False, layout="constrained")
    for axis, (title, (values, unit)) in zip(axes.flat, cases.items(), strict=True):
        labels = sorted(values, key=lambda label: statistics.median(values[label]), reverse=unit == "seconds")
        medians = [statistics.median(values[label]) for label in labels]
        spread = [
            [median - min(values[label]) for label, median in zip(labels, medians, strict=True)],
            [max(values[label]) - median for label, median in zip(labels, medians, strict=True)],
        ]
        colours = ["#1f6f8b" if label == OURS else "#c9ced6" for label in labels]
        axis.barh(labels, medians, xerr=spread, color=colours, ecolor="#555555", error_kw={"lw": 1})
        for row, label in enumerate(labels):
            text = f"  {medians[row]:,.0f}" if unit != "seconds" else f"  {medians[row]:.2f}"
            axis.text(max(values[label]), row, text, va="center", fontsize=9)
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel(unit)
        axis.set_xlim(0, 1.15 * max(map(max, values.values())))
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    figure.savefig(path, dpi=110)


def bulk(name, weights, arguments):
    """(lines, panels) of the images a second on a network."""
    images, notes = measure_bulk(weights[name], arguments)
    lines = [*bulk_table(name, images, notes), f"medians of {arguments.rounds} rounds"]
    return lines, {f"in bulk, network {name}": (images, "images a second")}


def files(place, weights, arguments):
    """(lines, panels) of the seconds of whole processes."""
    lines, panels, contest = [], {}, Files(place, weights["shapes"], arguments)
    contest.measure(1, 1)
    for count in arguments.files:
        taken = contest.measure(count, arguments.runs)
        panels[f"a process on {count:,} file{'s' if count > 1 else ''}, network shapes"] = taken, "seconds"
        lines += files_table(count, taken)
    return [*lines, f"medians of {arguments.runs} processes each"], panels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(all)")
    parser.add_argument("--pytorch", default=sys.executable, metavar="PYTHON", help="with PyTorch (the one that runs)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant in bulk (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a turn takes, about (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="processes of each on the files (%(default)s)")
    parser.add_argument(
        "--files", nargs="+", type=int, default=[1, 100, 10_000], metavar="N", help="how many (1 100 10000)"
    )
    arguments = parser.parse_args()

    settings = ", ".join(f"{name}={value}" for name, value in KEPT_MEMORY.items())
    with tempfile.TemporaryDirectory() as place:
        weights = {name: Path(place, f"{name}.npz") for name in NETWORKS}
        for name, file in weights.items():
            same_weights.write(file, name, load_model(SHAPES).variables if name == "shapes" else None)
        for part in arguments.parts:
            if part == FILES_PART:
                lines, panels = files(place, weights, arguments)
            else:
                lines, panels = bulk(part, weights, arguments)
            lines.append("a ratio is the median of those within the rounds")
            lines.append(f"glibc keeps freed memory in all: in ours by itself, in the peers' by {settings}")
            lines.append(f"PyTorch: {versions_of(arguments.pytorch, 'torch', 'pillow')}")
            keep(f"prediction_{part}", lines, "jax", "flax", "keras", "onnxruntime", "openvino", "pillow")
            draw(panels, ROOT / f"benchmarks/results/prediction_{part}.png")


if __name__ == "__main__":
    main()
