"""Whole trainings by the library as it was at several commits, in turns: what a change cost or brought.

Each is checked out beside this checkout and trains the default network on shapes that it draws, with everything that
`Trainer.fit` does: steps, validation, checkpoints, curves.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, Worker, keep, ratio, serve, take_turns

IMAGES = 1_600
HERE = "this checkout"


def work(root: str, batch_size: int, devices: int):
    """Trains with the library in the folder `root`, as often as it is asked to."""
    sys.path.insert(0, root)
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    from ai_library import CNN, ShapeDataSource, TrainConfig, Trainer
    from ai_library.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    source = ShapeDataSource(sizes=(IMAGES, 500, 1))
    model = CNN(num_classes=source.num_classes)

    def run(count):
        for _ in range(count):
            with tempfile.TemporaryDirectory() as place:
                Trainer(model, source, TrainConfig(batch_size=batch_size), Path(place) / "run").fit()

    serve(run)


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
    parser.add_argument("commits", nargs="+", help="the first is what the others are compared with")
    parser.add_argument("--batch", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2], help="(1 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (%(default)s)")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        root, batch_size, devices = arguments.worker
        work(root, int(batch_size), int(devices))
        return
    lines = [f"{IMAGES:,} images drawn and trained on, batch {arguments.batch}, {arguments.rounds} rounds"]
    with contextlib.ExitStack() as stack:
        roots = {HERE: str(ROOT)} | {commit: stack.enter_context(checked_out(commit)) for commit in arguments.commits}
        for devices in arguments.devices:
            lines += case(roots, arguments, devices)
    keep("commits", lines, "jax", "flax", "optax")


def case(roots, arguments, devices):
    """The lines of the processor seen as so many devices."""
    workers = []
    try:
        for name in [*arguments.commits, HERE]:
            command = ["commits.py", name, "--worker", roots[name], arguments.batch, devices]
            workers.append(Worker(name, *command))
        rates = take_turns(workers, arguments.rounds, 2.0)
    finally:
        for worker in workers:
            worker.close()
    yield f"{f'{devices} devices' if devices > 1 else '1 device':<16}{'images/s':>9}{'least':>9}{'most':>9}{'ratio':>8}"
    for name, values in rates.items():
        images = [rate * IMAGES for rate in values]
        times = ratio(values, rates[arguments.commits[0]])
        yield f"{name:<16}{statistics.median(images):>9.0f}{min(images):>9.0f}{max(images):>9.0f}{times:>8.2f}"


if __name__ == "__main__":
    main()
