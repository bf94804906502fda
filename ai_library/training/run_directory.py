"""What a training run leaves behind: curves, history, configuration, and checkpoints to go on from."""

import contextlib
import csv
import importlib.util
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import filelock
import jax

from ..errors import InputError
from ..files.atomic import naming, write_bytes
from ..files.sealed_file import SealedFileError, check_arrays
from ..runtime import distributed
from .checkpoints import Checkpoints

if TYPE_CHECKING:
    from ..data.source import DataSource
    from ..evaluation.report import Report
    from .tensorboard import EventFile

_LOG_STEPS = 10
_FOR_CURVES = ("tensorboardX", "matplotlib")


class RunDirectory:
    """A folder with `config.json`, `history.csv`, `checkpoints` and TensorBoard's event files. Make one by `opened`.

    The curves of training and validation are written to the sub-folders `train` and `validation` under the same
    tags, so that TensorBoard draws them in one chart; its table of runs has settings and final metrics. They are left
    out where tensorboardX or matplotlib is not installed. `history.csv` and the checkpoints hold no times: the same run
    gives the same files, however often it was interrupted.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool):
        self.path: Path = path
        self._settings = settings
        self._checkpoints = Checkpoints(path / "checkpoints")
        if resume:
            if not self._checkpoints.exist():
                raise InputError(f"{path} holds no checkpoint to resume from: start a run there by fit()")
            self._found = self._checkpoints.newest()
            if differences := _differences(_with_more_epochs(self._found[1].pop("settings"), settings), settings):
                raise InputError(f"{path} cannot be resumed with other settings: {differences}")
        elif self._checkpoints.exist():
            raise InputError(f"{path} holds a run already: go on with it by fit(resume=True), or choose another folder")
        write_bytes(path / "config.json", json.dumps(self._settings, indent=1).encode())
        self.missing: Sequence[str] = [name for name in _FOR_CURVES if importlib.util.find_spec(name) is None]
        """The packages without which there are no curves."""
        self._curves: dict[str, EventFile] = {}
        self._since = None
        self.saved_at: float = time.monotonic()
        """When the last checkpoint was written, or the run opened, by the monotonic clock."""

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, path: str | Path | None, settings: dict[str, Any], resume: bool = False
    ) -> Iterator["RunDirectory | Bystander"]:
        """The run in a folder, which is made where it does not exist and locked until the block ends.

        Args:
            path: The folder. None: a `Bystander` in every process, which writes nothing.
            settings: What the run is made of, as JSON has it.
            resume: Whether to go on with the run that the folder holds.

        Of several processes that train together only the first has it; the others get a `Bystander`.

        Raises `InputError` where a run is there and `resume` is not set, where none is there to resume, where it has
        other settings, or they are not the same in all processes, where another run trains in it, and, also within
        the block, where it can't be written.
        """
        with contextlib.ExitStack() as stack:
            run, settings = Bystander(), json.loads(json.dumps(settings))

            def enter():
                nonlocal run
                if path is not None:
                    run = stack.enter_context(cls._alone(Path(path), settings, resume))
                return settings

            if differences := _differences(distributed.broadcast_from_first(enter), settings):
                raise InputError(f"every process needs the settings of the first, but in this one {differences}")
            yield run

    @classmethod
    @contextlib.contextmanager
    def _alone(cls, path, settings, resume):
        if resume and not path.is_dir():
            raise InputError(f"{path} holds no run to resume: start one there by fit()")
        with contextlib.ExitStack() as stack:
            with naming(path):
                path.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(filelock.FileLock(path / "lock", timeout=0))
                except filelock.Timeout as error:
                    raise InputError(
                        f"another training runs in {path}: wait for its end, or choose another folder"
                    ) from error
            run = cls(path, settings, resume)
            stack.callback(run._close)
            yield run

    @staticmethod
    def new_path(folder: str | Path = "runs") -> Path:
        """A path in a folder for a new run, named by the time."""
        return Path(folder) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")

    @staticmethod
    def latest_path() -> Path:
        """The folder in `runs` with the newest checkpoint. Raises `InputError` where there is none."""
        checkpoints = list(Path("runs").glob("*/checkpoints/*.msgpack"))
        if not checkpoints:
            raise InputError("the folder 'runs' holds no run to resume: name another as run_dir")
        return max(checkpoints, key=lambda path: path.stat().st_mtime).parents[1]

    def restore(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Record and tree of the checkpoint to go on from; the tree has the shapes and types of `wanted`."""
        path, record, tree = self._found
        try:
            check_arrays(tree, wanted, finite=False)  # an optimizer may begin with infinities
        except SealedFileError as error:
            raise InputError(f"{path} {error}: start a new run in another folder") from error
        self._open_curves(record["step"], record["history"])
        return record, tree

    def begin(self, source: "DataSource", tree: dict[str, Any], n: int = 64) -> None:
        """Logs a grid of the first training images. Raises `InputError` where a checkpoint can't hold the tree, which
        is to be saved."""
        self._checkpoints.check_storable(tree)
        self._open_curves(0, [])
        if self._curves:
            images, _ = source.examples("train", range(min(n, source.size("train"))))
            self._curves["train"].images("samples", images, 0)

    def log_step(self, step: int, batch_size: int, loss: float, accuracy: float, learning_rate: float) -> None:
        """The curves of training, a point every few steps; images a second are those since the last point."""
        if step % _LOG_STEPS or not self._curves:
            return
        now, curves = time.perf_counter(), self._curves["train"]
        curves.scalar("loss", loss, step)
        curves.scalar("accuracy", accuracy, step)
        curves.scalar("learning_rate", learning_rate, step)
        if self._since and step > self._since[0]:
            curves.scalar("images_a_second", (step - self._since[0]) * batch_size / (now - self._since[1]), step)
        self._since = step, now

    def log_epoch(self, history: list[dict[str, Any]], report: "Report", params: dict[str, Any]) -> None:
        """The last row of the history, the report on the validation split that it came from, and the weights."""
        self._write_history(history)
        if not self._curves:
            return
        curves, step = self._curves["validation"], history[-1]["step"]
        curves.scalar("loss", report.log_loss, step)
        curves.scalar("accuracy", report.accuracy, step)
        curves.figure("confusion_matrix", report.confusion_figure(), step)
        for path, leaf in jax.tree.leaves_with_path(params):
            curves.histogram(jax.tree_util.keystr(path, simple=True, separator="/"), leaf, step)

    def log_end(self, chosen: dict[str, Any]) -> None:
        """The run's settings with the chosen row of the history, for TensorBoard's table of runs."""
        if self.missing:
            return
        from .tensorboard import EventFile

        metrics = {name: value for name, value in chosen.items() if name not in ("epoch", "step")}
        table = EventFile(self.path, 0)  # a finished run that is resumed writes its row anew
        table.hparams(dict(_flat(self._settings)), metrics, chosen["step"])
        table.close()

    def save(self, record: dict[str, Any], tree: dict[str, Any]) -> None:
        """Writes a checkpoint of a record, with "step" and "history", and a tree of arrays."""
        for curves in self._curves.values():  # what a resumed run no longer logs must be on the disk before
            curves.flush()
        self._checkpoints.save(record["step"], {**record, "settings": self._settings}, tree)
        self._since, self.saved_at = None, time.monotonic()  # the time of a checkpoint is not that of a step

    def _close(self):
        for curves in self._curves.values():
            curves.close()

    def _open_curves(self, step, history):
        """Both curves go on after what a checkpoint knows of; later rows were of steps that are taken again."""
        self._write_history(history)
        if self.missing:
            return
        from .tensorboard import EventFile

        validated = history[-1]["step"] + 1 if history else 0
        self._curves = {
            "train": EventFile(self.path / "train", step),
            "validation": EventFile(self.path / "validation", validated),
        }

    def _write_history(self, history):
        table = io.StringIO()
        rows = csv.DictWriter(table, history[-1].keys() if history else (), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)
        write_bytes(self.path / "history.csv", table.getvalue().encode() if history else b"")


class Bystander:
    """What stands for the run directory in processes and in runs that have none: it writes nothing."""

    saved_at: float = math.inf
    missing: Sequence[str] = ()

    def restore(self, wanted: dict[str, Any]) -> NoReturn:
        raise InputError("a run that keeps no run directory cannot be resumed: name it as run_dir")

    def begin(self, source: "DataSource", tree: dict[str, Any]) -> None:
        pass

    def log_step(self, step: int, batch_size: int, loss: float, accuracy: float, learning_rate: float) -> None:
        pass

    def log_epoch(self, history: list[dict[str, Any]], report: "Report", params: dict[str, Any]) -> None:
        pass

    def log_end(self, chosen: dict[str, Any]) -> None:
        pass

    def save(self, record: dict[str, Any], tree: dict[str, Any]) -> None:
        pass


def _flat(settings, prefix=""):
    """Yields the settings with dotted names, lists as text."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, (str, bool, int, float)) else json.dumps(value)


def _with_more_epochs(old, new):
    """The old settings, with the new epochs where these are more: a run may be given more."""
    more = old["train"]["epochs"] < new["train"]["epochs"]
    return {**old, "train": {**old["train"], "epochs": new["train"]["epochs"]}} if more else old


def _differences(old, new):
    return "; ".join(
        f"{part}.{name} was {old.get(part, {}).get(name)}, is now {new.get(part, {}).get(name)}"
        for part in {**old, **new}
        for name in {**old.get(part, {}), **new.get(part, {})}
        if old.get(part, {}).get(name) != new.get(part, {}).get(name)
    )
