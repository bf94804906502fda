"""Shared by the benchmarks: runs contestants in turns, and writes results with machine and versions."""

import contextlib
import importlib.metadata
import os
import platform
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_ANSWER = "answer:"


class Worker:
    """A contestant in a process of its own, warmed up, which waits blocked on a pipe from one turn to the next.

    Args:
        name: Its name in tables.
        command: A script of this folder that ends in `serve`, and its arguments.
        python: The interpreter, if it is not this process's own.
        environment: Variables it gets beside this process's own.
    """

    def __init__(self, name: str, *command, python: str = sys.executable, **environment: str):
        self.name = name
        # What it says beside its answers goes into a file: a pipe that nobody reads would fill up and stop it.
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the worker)
        self._process = subprocess.Popen(
            [python, *map(str, command)],
            cwd=ROOT / "benchmarks",
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        seconds, _, self.note = self._answer().partition(" ")
        self.seconds = float(seconds)
        """Of one unit of its work, when it had just warmed up."""

    def turn(self, count: int) -> float:
        """Seconds that `count` units of its work take."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _answer(self):
        for line in self._process.stdout:  # frameworks may print lines of their own
            if line.startswith(_ANSWER):
                return line.removeprefix(_ANSWER).strip()
        self._said.seek(0)
        raise RuntimeError(f"{self.name} ended with status {self._process.wait()}:\n{self._said.read()[-3000:]}")


def serve(run, note: str = "", *, long: bool = False):
    """A worker's side: warms up `run(count)`, which does `count` units of work, and runs it for each turn asked for.

    The first unit of a turn is not counted: caches and clock rate are still those of another worker's turn. A unit that
    is `long`, of many seconds, needs no warming up.
    """
    if not long:
        run(3)
    units = 1 if long else 3
    print(_ANSWER, _seconds(run, units) / units, note, flush=True)
    for line in sys.stdin:
        if not long:
            run(1)
        print(_ANSWER, _seconds(run, int(line)), flush=True)


def free_port() -> int:
    """A free port of the loopback device, where processes can meet."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def fastest(ways, count=1):
    """(name, run) of the one of several ways {name: run(count)} that does `count` units of work in the least time."""

    def seconds(name):
        ways[name](count)  # warms up
        return _seconds(ways[name], count)

    name = min(ways, key=seconds)
    return name, ways[name]


def _seconds(run, count):
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def take_turns(workers: list[Worker], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Units a second of each worker by name, one value a round; each turn takes about that many seconds.

    They take turns, round by round, so that other load on the machine affects all of them alike.
    """
    rates = {worker.name: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            count = max(2 if worker.seconds < 10 else 1, round(seconds / worker.seconds))
            rates[worker.name].append(count / worker.turn(count))
            time.sleep(0.1)  # threads of the one before may spin a little before they sleep
    return rates


def ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times faster ours is: the median of the ratios within each round."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def best(rates: dict[str, list[float]], names) -> str:
    """The name with the highest median."""
    return max(names, key=lambda name: statistics.median(rates[name]))


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
        flags = next((line for line in lines if line.startswith("flags")), "")
        name += ", AVX-512" if "avx512f" in flags else ""
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def versions(*packages: str) -> str:
    """The versions of Python and of installed packages."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)


def versions_of(python: str, *packages: str) -> str:
    """The versions of another Python and of its packages."""
    show = f"import measuring; print(measuring.versions(*{packages!r}))"
    done = subprocess.run([python, "-c", show], cwd=ROOT / "benchmarks", check=True, capture_output=True, text=True)
    return done.stdout.strip()


def keep(name: str, lines: list[str], *packages: str):
    """Prints the lines and writes them to `results/name.txt`, with the command, the day, machine and versions."""
    head = [
        f"$ python {Path(sys.argv[0]).resolve().relative_to(ROOT)} {shlex.join(sys.argv[1:])}".rstrip(),
        f"{date.today()}, {machine()}, {versions(*packages)}",
        "",
    ]
    text = "\n".join(head + lines) + "\n"
    print(f"\n{text}")
    path = ROOT / "benchmarks" / "results" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
