"""Compares training in two processes with one, and the measurements with the model of `docs/distributed.md`.

The network is the default one. Each process uses one core, as if it were a machine of its own. The processes
communicate over the loopback device, whose counters give the bytes. All contestants take turns, round by round. The
model's inputs are measured as well: the step of one process on its part of the batch, while an independent process runs
beside it; two all-reduces, of few and of many numbers; and the time that a process waits for the other at an
all-reduce, from pieces of other work, about as long as those of a step, with an all-reduce after each and without.
"""

import argparse
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
from measuring import ROOT, Worker, free_port, keep, ratio, take_turns
from networks import CLASSES, IMAGE_SIDE
from scaling_step import FEW, REDUCES, SUMS

sys.path.insert(0, str(ROOT))

from ai_library import CNN

ONE, HALF, DEVICES, TWO = (
    "1 process, 1 device",
    "on half of the batch",
    "1 process, 2 devices",
    "2 processes, 1 device each",
)
MANY = 1 << 19
WORK = 3 / 8
"""Images of a piece of work for each of a process's part of the batch: it then takes about a 14th of its step."""


class Pair(Worker):
    """Two processes with a device each."""

    def __init__(self, name: str, *command):
        meeting = f"127.0.0.1:{free_port()}", "2"
        second = ["scaling_step.py", *map(str, command), "1", *meeting, "1"]
        self._second = subprocess.Popen([sys.executable, *second], cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL)
        super().__init__(name, "scaling_step.py", *command, 1, *meeting, 0)

    def close(self):
        super().close()
        self._second.wait()


class Twins:
    """Two independent processes that do the same at once: what a process takes while the machine's
    other core is as busy as it is beside a second process of a training."""

    def __init__(self, name: str, *command):
        self.name, self.note = name, ""
        self._workers = [Worker(name, "scaling_step.py", *command, 1, "", 1, core) for core in range(2)]
        self.seconds = max(worker.seconds for worker in self._workers)

    def turn(self, count: int) -> float:
        with ThreadPoolExecutor() as pool:
            return statistics.mean(pool.map(lambda worker: worker.turn(count), self._workers))

    def close(self):
        for worker in self._workers:
            worker.close()


def summed_arrays() -> list[int]:
    """Float32 numbers of each array that the processes sum in a step."""
    params = CNN(num_classes=CLASSES).variable_shapes((IMAGE_SIDE, IMAGE_SIDE, 1))["params"]
    channels = [layer["scale"].size for name, layer in params.items() if name.startswith("BatchNorm")]
    moments = [2 * count for count in channels]  # the batch's two moments; their gradients have as many numbers
    gradients = (
        sum(leaf.size for leaf in jax.tree.leaves(params)) + 2
    )  # with the loss and the number of correct predictions
    return [*moments, *moments, gradients, 1]  # the last is the exchange of signals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 128], metavar="B", help="sizes (64 128)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a turn takes, about (%(default)s)")
    arguments = parser.parse_args()
    lines = [line for batch_size in arguments.batches for line in case(batch_size, arguments)]
    lines.append(f"medians of {arguments.rounds} rounds")
    keep("scaling", lines, "jax", "flax", "optax")


def case(batch_size, arguments):
    """The lines of one batch size."""
    workers = []
    try:
        for name, devices in ((ONE, 1), (DEVICES, 2)):
            workers.append(Worker(name, "scaling_step.py", "step", batch_size, devices, "", 1, 0))
        workers.append(Twins(HALF, "step", batch_size // 2))
        workers.append(Pair(TWO, "step", batch_size))
        workers.append(Pair("few", "reduce", FEW))
        workers.append(Pair("many", "reduce", MANY))
        pieces = int(batch_size / 2 * WORK)
        workers.append(Twins("work", "amid", pieces))
        workers.append(Pair("work and sums", "amid", pieces))
        rates = take_turns(workers, arguments.rounds, arguments.seconds)
    finally:
        for worker in workers:
            worker.close()
    sent = float(next(worker.note for worker in workers if worker.name == TWO))
    seconds = {name: 1 / statistics.median(values) for name, values in rates.items()}

    arrays = summed_arrays()
    numbers = sum(arrays)
    few, many = seconds["few"] / REDUCES, seconds["many"] / REDUCES
    per_number = (many - few) / (MANY - FEW)
    wait = (seconds["work and sums"] - seconds["work"]) / SUMS - few
    step = seconds[HALF] + len(arrays) * (few + wait) + numbers * per_number
    whole, alone = seconds[TWO], rates[ONE]
    efficiency = ratio(rates[TWO], alone) / 2
    foretold, foretold_bytes = seconds[ONE] / step / 2, 2 * 4 * numbers
    yield f"default network, batch {batch_size}: {len(arrays)} arrays of {numbers:,} numbers are summed in a step"
    yield f"{'':<28}{'images/s':>9}{'least':>9}{'most':>9}{'times 1 process':>17}"
    for name in (ONE, TWO, DEVICES):
        images = [rate * batch_size for rate in rates[name]]
        times = ratio(rates[name], alone)
        yield f"{name:<28}{statistics.median(images):>9.0f}{min(images):>9.0f}{max(images):>9.0f}{times:>17.2f}"
    yield f"  a step on half of the batch, both cores busy, {seconds[HALF] * 1e3:.1f} ms"
    yield f"  an all-reduce of {FEW} numbers {few * 1e6:.0f} us, of {MANY:,} {many * 1e3:.2f} ms"
    yield f"  a piece of work {seconds['work'] / SUMS * 1e3:.2f} ms, the wait at a sum after it {wait * 1e6:.0f} us"
    yield f"  {'':<26}{'measured':>12}{'the model':>12}{'off by':>9}"
    for name, measured, model, unit in (
        ("efficiency", efficiency, foretold, 1), ("MB sent in a step", sent, foretold_bytes, 1e6),
        ("ms a step", whole, step, 1e-3),
    ):  # fmt: skip
        yield f"  {name:<26}{measured / unit:>12.3f}{model / unit:>12.3f}{model / measured - 1:>9.1%}"
    yield ""


if __name__ == "__main__":
    main()
