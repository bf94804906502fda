"""Compares the speed of several commits of this project, in turns: training, prediction and whole commands.

Each commit is checked out beside this checkout. `training` trains the default network on generated shapes, with
everything that `Trainer.fit` does: steps, validation, checkpoints, curves. `prediction` is `Classifier` on images in
memory. `start` is the whole process of `predict.py` on one image, `first` that of `train_shapes.py` as a newcomer types
it, both counted a second. A commit may have its own Python, with the packages that it was pinned to:
`f2df111=/path/to/python`.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, Worker, keep, ratio, serve, take_turns

IMAGES = {"training": 1_600, "prediction": 2_048, "start": 1, "first": 1}
COMMANDS = {
    "start": ("predict.py", "--data", "ai_application/evaluation/shapes/circle/00000.png", "--output"),
    "first": ("train_shapes.py", "--run-dir"),
}
HERE = "this checkout"


def work(what: str, root: str, batch_size: int, devices: int):
    """Does one kind of work with the project in the folder `root`, once for each request."""
    if what in COMMANDS:
        serve(processes(root, *COMMANDS[what]), long=what == "first")
        return
    sys.path.insert(0, root)
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    try:
        from ai_library.runtime.cpu import keep_freed_memory
    except ImportError:  # of the commits before the folders
        from ai_library.processor import keep_freed_memory

    keep_freed_memory()
    run = trainings(batch_size) if what == "training" else predictions()
    serve(run, f"jax {jax.__version__}")


def trainings(batch_size):
    from ai_library import CNN, ShapeDataSource, TrainConfig, Trainer

    source = ShapeDataSource(sizes=(IMAGES["training"], 500, 1))
    model = CNN(num_classes=source.num_classes)

    def run(count):
        for _ in range(count):
            with tempfile.TemporaryDirectory() as place:
                Trainer(model, source, TrainConfig(batch_size=batch_size), Path(place) / "run").fit()

    return run


def predictions():
    import jax
    import numpy as np

    from ai_library import CNN, Classifier, ShapeDataSource

    source = ShapeDataSource()
    model = CNN(num_classes=source.num_classes)
    variables = jax.tree.map(np.asarray, model.initialise(0, source.image_shape))
    classifier = Classifier(model, variables, source.class_names, source.image_shape)
    images, _ = source.examples("evaluation", range(IMAGES["prediction"]))

    def run(count):
        for _ in range(count):
            classifier.predict_proba(images)

    return run


def processes(root, script, *arguments):
    """A script as a whole process; its last argument, a new folder, is added here."""
    # As a user starts it: Python keeps what it compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run(count):
        for _ in range(count):
            with tempfile.TemporaryDirectory() as place:
                command = [sys.executable, f"scripts/{script}", *arguments, f"{place}/new"]
                subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)

    return run


@contextlib.contextmanager
def checked_out(commit):
    """The folder of a checkout of that commit, for a while."""
    with tempfile.TemporaryDirectory() as place:
        worktree = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*worktree, "add", "-q", "--detach", f"{place}/then", commit], check=True)
        try:
            yield f"{place}/then"
        finally:
            subprocess.run([*worktree, "remove", "--force", f"{place}/then"], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "commits", nargs="+", metavar="COMMIT[=PYTHON]", help="the first is what others are compared with"
    )
    parser.add_argument("--here", default=sys.executable, metavar="PYTHON", help="this checkout's (the one that runs)")
    parser.add_argument("--what", nargs="+", choices=IMAGES, default=["training"], help="(training)")
    parser.add_argument("--batch", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2], help="(1 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (%(default)s)")
    parser.add_argument("--name", default="commits", help="of the file of results (%(default)s)")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, root, batch_size, devices = arguments.worker
        work(what, root, int(batch_size), int(devices))
        return
    lines = [f"{arguments.rounds} rounds; trainings at batch {arguments.batch}"]
    with contextlib.ExitStack() as stack:
        pythons, roots = {}, {}
        for commit, _, python in (named.partition("=") for named in arguments.commits):
            pythons[commit], roots[commit] = python or sys.executable, stack.enter_context(checked_out(commit))
        pythons[HERE], roots[HERE] = arguments.here, str(ROOT)
        for what in arguments.what:
            for devices in arguments.devices if what == "training" else [1]:
                lines += case(what, roots, pythons, arguments, devices)
    keep(arguments.name, lines)


def case(what, roots, pythons, arguments, devices):
    """The lines of one kind of work, with the processor seen as so many devices."""
    workers = []
    try:
        for name, root in roots.items():
            command = ["commits.py", name, "--worker", what, root, arguments.batch, devices]
            workers.append(Worker(name, *command, python=pythons[name]))
        rates = take_turns(workers, arguments.rounds, 2.0)
    finally:
        for worker in workers:
            worker.close()
    notes = {worker.name: worker.note for worker in workers}
    title = what if what in COMMANDS else f"{what}, {devices} device{'s' if devices > 1 else ''}"
    unit = "a second" if what in COMMANDS else "images/s"
    yield f"{title:<24}{unit:>9}{'least':>9}{'most':>9}{'ratio':>8}"
    first = next(iter(roots))
    for name, values in rates.items():
        images = [rate * IMAGES[what] for rate in values]
        times, digits = ratio(values, rates[first]), 3 if what in COMMANDS else 0
        figures = "".join(f"{value:>9.{digits}f}" for value in (statistics.median(images), min(images), max(images)))
        yield f"{name:<24}{figures}{times:>8.2f}  {notes[name]}".rstrip()


if __name__ == "__main__":
    main()
