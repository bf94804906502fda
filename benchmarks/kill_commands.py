"""Ends commands by signals at random moments, from their first line to the exit, and checks what they leave behind.

    python benchmarks/kill_commands.py [--moments 60] [--seed S] [--commands predict train_folder train_shapes]

SIGKILL, SIGTERM, SIGINT, and SIGINT twice take turns. `predict.py` overwrites the results of other images. Afterwards
the files must be all old or all new, and those of the next run must be complete. `train_folder.py` and
`train_shapes.py`, with a checkpoint after every step, overwrite another model. It must be the old one or the new one.
The run is then resumed, or started again if it has no checkpoint, and must end byte by byte like an uninterrupted one.
The exit status must be 128 plus the signal's number, or 0 if the command was done. Except after SIGKILL, no temporary
file may be left, and a training with a checkpoint must have printed how to continue.
"""

import argparse
import collections
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kill_training import left_behind
from measuring import ROOT, keep

ENDS = {
    "SIGKILL": [signal.SIGKILL],
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT] * 2,
}
# Runs a script, and says when Python itself has begun: in its own beginning a signal finds no program yet.
BEGIN = "import os, runpy, sys; os.write(1, b'.'); runpy.run_path(sys.argv[0], run_name='__main__')"
BEGIN = f"import sys; del sys.argv[0]; {BEGIN}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=60, help="for each command")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    commands = {"predict": Predict, "train_folder": TrainFolder, "train_shapes": TrainShapes}
    parser.add_argument("--ends", nargs="+", choices=ENDS, default=[*ENDS])
    parser.add_argument("--name", default="kill_commands")
    parser.add_argument("--commands", nargs="+", choices=commands, default=[*commands])
    arguments = parser.parse_args()
    # A shell has a command in the background ignore Ctrl-C, and so would those that are started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = random.Random(arguments.seed)
    lines = [f"moments drawn with seed {arguments.seed}"]
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.commands:
            lines += ["", *ended_at_random(commands[name](Path(folder, name)), arguments, rng)]
    keep(arguments.name, lines, "jax", "jaxlib", "flax")


def ended_at_random(command, arguments, rng):
    """Yields a line for each kind of end, and one for all that was wrong."""
    found, wrong = collections.defaultdict(collections.Counter), []
    yield f"{command.words[0]}, {command.seconds:.1f} s by itself:"
    for name, _ in zip(itertools.cycle(arguments.ends), range(arguments.moments), strict=False):
        signals = ENDS[name]
        command.prepare()
        moment = rng.uniform(0, command.seconds)
        status, errors = ended(command.words, signals, moment)
        left, problems = command.left(status, errors)
        if status not in (0, 128 + signals[0]):
            problems.append(f"status {status}")
        if name != "SIGKILL":
            problems += [f"{path.name} is left" for path in command.folder.rglob(".*")]
            problems += ["a traceback"] if "Traceback" in errors else []
        found[name][f"{left}, {'done' if status == 0 else 'ended'}"] += 1
        wrong += [f"  {name} after {moment:.2f} s: {problem}" for problem in problems + command.goes_on(status)]
        print(name, f"{moment:.2f} s", status, left, problems, flush=True)
    for name, counted in found.items():
        yield f"  {name:<13}{'; '.join(f'{count} x {what}' for what, count in sorted(counted.items()))}"
    yield f"  wrong: {len(wrong)}"
    yield from wrong


def start(words):
    command = [sys.executable, "-c", BEGIN, f"scripts/{words[0]}", *map(str, words[1:])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    os.read(process.stdout.fileno(), 1)
    return process


def ended(words, signals, moment):
    """Starts a command and sends it signals; its exit status, as a shell has it, and what it said."""
    process = start(words)
    time.sleep(moment)
    for number in signals:
        process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    return 128 - process.returncode if process.returncode < 0 else process.returncode, errors


def finish(words):
    """Runs a command to its end; the seconds it took."""
    process, started = start(words), time.monotonic()
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{words[0]} ended with status {process.returncode}: {errors}")
    return time.monotonic() - started


def files(folder):
    """The contents of a folder's files, without what is temporary."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "." and path.name != "lock"}


class Predict:
    """The evaluation images predicted over the results of others."""

    def __init__(self, folder):
        self.folder, self._kept = folder / "results", folder / "kept"
        self.words = ["predict.py", "--output", self.folder, "--data", "ai_application/evaluation/shapes"]
        finish(["draw_shapes.py", "--number", 45, "--split", "validation", "--output", folder / "others"])
        finish([*self.words[:-1], folder / "others"])
        self._old = files(self.folder)
        shutil.copytree(self.folder, self._kept)
        finish(self.words)
        self._new = files(self.folder)
        self.seconds = finish(self.words)

    def prepare(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)

    def left(self, status, _):
        found = files(self.folder)
        for name, known in (("old", self._old), ("new", self._new)):
            if found.items() <= known.items():
                whole = found == known
                problem = [] if whole and (status or name == "new") else [f"status {status} with {len(found)} files"]
                return (name if whole else f"part of the {name}"), [] if status == 128 + signal.SIGKILL else problem
        return "mixed", [f"mixed: {', '.join(found)}"]

    def goes_on(self, _):
        finish(self.words)
        known = files(self.folder) == self._new and not list(self.folder.glob(".*"))
        return [] if known else ["the next run left something else"]


class Train:
    """A training that writes its model over another one."""

    def __init__(self, folder, *words):
        self.folder = folder / "trained"
        self._run, self._model = self.folder / "run", self.folder / "run.msgpack"
        self.words = [*words, "--checkpoint-seconds", 0, "--run-dir", self._run, "--model", self._model]
        finish([*self.words, "--seed", 1])
        self._old = self._model.read_bytes()
        self.prepare()
        self.seconds = finish(self.words)
        self._whole = left_behind(self._run)
        self._new = self._model.read_bytes()

    def prepare(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self._model.write_bytes(self._old)

    def left(self, status, errors):
        model, resumable = self._model.read_bytes(), self._resumable()
        left = {self._old: "old model", self._new: "new model"}.get(model, "damaged model")
        problems = [left] if left.startswith("damaged") or (left.startswith("old") and not status) else []
        if status not in (0, 128 + signal.SIGKILL) and resumable != ("; go on with: python" in errors):
            # Where it had to be ended, and after its last line, there is no more to say.
            problems += [] if left.startswith("new") else [f"it said: {errors.strip()[-200:]}"]
        return f"{left}{' and a checkpoint' if resumable else ''}", problems

    def goes_on(self, _):
        if not self._resumable():
            shutil.rmtree(self._run, ignore_errors=True)
        finish([*self.words, *["--resume"][: self._resumable()]])
        return [] if left_behind(self._run) == self._whole else ["the run that went on ended otherwise"]

    def _resumable(self):
        return any((self._run / "checkpoints").glob("[0-9]*.msgpack"))


class TrainFolder(Train):
    """A training on a folder of images."""

    def __init__(self, folder):
        images = folder / "images"
        finish(["draw_shapes.py", "--number", 270, "--output", images])
        network = ["--image-size", 16, "--channels", 1, "--epochs", 2, "--batch-size", 32]
        super().__init__(folder, "train_folder.py", images, *network)


class TrainShapes(Train):
    """The first command, with a network and batches that make it shorter."""

    def __init__(self, folder):
        network = ["--network.features", 8, 8, 8, 8, 8, "--network.dense", 8]
        super().__init__(folder, "train_shapes.py", "--epochs", 2, "--batch-size", 2000, *network)


if __name__ == "__main__":
    main()
