"""What a training run leaves behind: curves, history, configuration, and a checkpoint to go on from."""

import csv
import io
import json
import time
from datetime import datetime
from pathlib import Path

import flax.serialization
import jax
import numpy as np
import optax
from tensorboardX import SummaryWriter

from .atomic import write_bytes
from .errors import InputError

_LOG_STEPS = 10


class RunDirectory:
    """A folder with `config.json`, `history.csv`, `checkpoint.msgpack` and TensorBoard's event files.

    The curves of training and validation are written to the sub-folders `train` and `validation` under the same
    tags, so that TensorBoard draws them in one chart. `history.csv` holds no times: the same run gives the same file.

    Args:
        path: The folder; it is made where it does not exist.
        settings: What the run is made of, as JSON has it.
        resume: Whether to go on with the run that the folder holds.

    Raises `InputError` where a run is there and `resume` is not set, where none is there to resume, or where it has
    other settings.
    """

    def __init__(self, path: str | Path, settings: dict, resume: bool = False):
        self.path = Path(path)
        self._checkpoint = self.path / "checkpoint.msgpack"
        config = self.path / "config.json"
        settings = json.loads(json.dumps(settings))
        if resume:
            if not self._checkpoint.exists():
                raise InputError(f"{self.path} holds no checkpoint to resume from: start the run without --resume")
            try:
                _check_same(json.loads(config.read_text()), settings, self.path)
            except (OSError, json.JSONDecodeError) as error:
                raise InputError(f"{config} cannot be read ({error}): start a new run in another folder") from error
        elif self._checkpoint.exists():
            raise InputError(f"{self.path} holds a run already: go on with it by --resume, or choose another folder")
        else:
            write_bytes(config, json.dumps(settings, indent=1).encode())
        self._purge_from = None
        self._writers: dict[str, SummaryWriter] = {}
        self._since = None

    @staticmethod
    def new_path() -> Path:
        """A folder for a new run, named by the time."""
        return Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")

    @staticmethod
    def latest_path() -> Path:
        """The folder in `runs` with the newest checkpoint. Raises `InputError` where there is none."""
        checkpoints = list(Path("runs").glob("*/checkpoint.msgpack"))
        if not checkpoints:
            raise InputError("the folder 'runs' holds no run to resume: name one with --run-dir")
        return max(checkpoints, key=lambda path: path.stat().st_mtime).parent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self._writers.values():
            writer.close()

    def log_samples(self, source, n=64):
        """A grid of the first training images."""
        images, _ = source.examples("train", range(min(n, source.size("train"))))
        self._writer("train").add_images("samples", images, 0, dataformats="NHWC")

    def log_step(self, step: int, batch_size: int, loss: float, accuracy: float, schedule: optax.Schedule):
        """The curves of training, a point every few steps; images a second are those since the last point."""
        if step % _LOG_STEPS:
            return
        now = time.perf_counter()
        writer = self._writer("train")
        writer.add_scalar("loss", loss, step)
        writer.add_scalar("accuracy", accuracy, step)
        writer.add_scalar("learning_rate", float(schedule(step)), step)
        if self._since and step > self._since[0]:
            writer.add_scalar("images_a_second", (step - self._since[0]) * batch_size / (now - self._since[1]), step)
        self._since = step, now

    def log_epoch(self, history: list[dict], report):
        """The last row of the history, and the report on the validation split that it came from."""
        table = io.StringIO()
        rows = csv.DictWriter(table, history[-1].keys(), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)
        write_bytes(self.path / "history.csv", table.getvalue().encode())
        writer, step = self._writer("validation"), history[-1]["step"]
        writer.add_scalar("loss", report.log_loss, step)
        writer.add_scalar("accuracy", report.accuracy, step)
        writer.add_figure("confusion_matrix", report.confusion_figure(), step)
        self._since = None  # the time of an evaluation is not that of a step

    def save(self, state, chosen, history: list[dict]):
        """Writes the checkpoint: a train state, the chosen epoch's variables, and the history up to here."""
        tree = {"state": flax.serialization.to_state_dict(state), "chosen": chosen, "history": json.dumps(history)}
        write_bytes(self._checkpoint, flax.serialization.msgpack_serialize(jax.tree.map(_on_host, tree)))

    def restore(self, state, chosen):
        """Reads the checkpoint into a state and variables of the same structure; returns them and the history."""
        try:
            tree = flax.serialization.msgpack_restore(self._checkpoint.read_bytes())
            state = flax.serialization.from_state_dict(state, tree["state"])
            chosen = flax.serialization.from_state_dict(chosen, tree["chosen"])
            history = json.loads(tree["history"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._checkpoint} is damaged ({error}): start a new run in another folder") from error
        self._purge_from = int(state.step)
        return state, chosen, history

    def _writer(self, name):
        if name not in self._writers:
            # After a resume TensorBoard drops what an interrupted epoch wrote beyond the checkpoint.
            self._writers[name] = SummaryWriter(str(self.path / name), purge_step=self._purge_from)
        return self._writers[name]


def _on_host(leaf):
    return leaf if isinstance(leaf, str) else np.asarray(leaf)


def _check_same(old, new, path):
    changed = [
        f"{part}.{name} was {old.get(part, {}).get(name)}, is now {value}"
        for part, values in new.items()
        for name, value in values.items()
        if old.get(part, {}).get(name) != value
    ]
    if changed:
        raise InputError(f"{path} cannot be resumed with other settings: {'; '.join(changed)}")
