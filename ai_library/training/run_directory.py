"""The run directory: curves, history, configuration, and checkpoints from which a run resumes."""

import contextlib
import csv
import importlib.util
import io
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import jax

from ..errors import InputError
from ..files.atomic import check_writable, write_bytes
from ..files.folder_lock import locked
from ..files.sealed_file import SealedFileError, check_arrays
from ..runtime import distributed
from ..runtime.agreement import differences
from . import program
from .checkpoints import Checkpoints
from .config import TrainConfig

if TYPE_CHECKING:
    from ..data.source import DataSource
    from ..evaluation.report import Report
    from .tensorboard import EventFile

_LOG_STEPS = 10
_FOR_CURVES = ("tensorboardX", "matplotlib")


class RunDirectory:
    """A folder with `config.json`, `history.csv`, `checkpoints` and TensorBoard's event files. `opened` makes one.

    The curves of training and validation are in the sub-folders `train` and `validation` under the same tags, so that
    TensorBoard draws them in one chart. Its table of runs has settings and final metrics. The event files need
    tensorboardX and matplotlib, and are left out without them. `history.csv` and the checkpoints hold no times, so that
    an interrupted run leaves the same files as an uninterrupted one.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool, check: Callable[[], None]):
        self.path: Path = path
        self._settings, self._check = settings, check
        self._checkpoints = Checkpoints(path / "checkpoints", check)
        if resume:
            if not self._checkpoints.exist():
                raise InputError(f"{path} holds no checkpoint to resume from: start a run there by fit()")
            self._found = self._checkpoints.newest()
            began_with = self._found[1].pop("settings")
            if "initial" in settings and settings["initial"] is None:  # a resumed run may omit it
                self._settings = settings = {**settings, "initial": began_with.get("initial")}
            _check_settings(path, began_with, settings)
        elif self._checkpoints.exist():
            raise InputError(f"{path} holds a run already: go on with it by fit(resume=True), or choose another folder")
        check_writable(path / "checkpoints/0.msgpack")
        write_bytes(path / "config.json", json.dumps(self._settings, indent=1).encode())
        self.missing: Sequence[str] = [name for name in _FOR_CURVES if importlib.util.find_spec(name) is None]
        """The missing packages that the curves need."""
        self._curves: dict[str, EventFile] = {}
        self._since = None
        self.saved_at: float = time.monotonic()
        """Time of the last checkpoint, or of the opening, by the monotonic clock in seconds."""

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, path: str | Path | None, settings: dict[str, Any], resume: bool = False
    ) -> Iterator["RunDirectory | Bystander"]:
        """Opens the run in a folder, which is created if missing, and locked until the block ends.

        Of several processes that train together, only the first writes it; the others get a `Bystander`.

        Args:
            path: The folder. None: a `Bystander` in every process, which writes nothing.
            settings: The settings of the run, as JSON values.
            resume: Whether to resume the run that the folder holds.

        Raises:
            InputError: The folder holds a run and `resume` is not set; it holds no run to resume, or one with other
                settings; another process writes there. Also within the block: the folder cannot be written to, or was
                replaced by another.
        """
        with contextlib.ExitStack() as stack:
            run = Bystander()

            def enter():
                nonlocal run
                if path is not None:
                    run = stack.enter_context(cls._alone(Path(path), json.loads(json.dumps(settings)), resume))

            distributed.broadcast_from_first(enter)
            yield run

    @classmethod
    @contextlib.contextmanager
    def _alone(cls, path, settings, resume):
        if resume and not path.is_dir():
            raise InputError(f"{path} holds no run to resume: start one there by fit()")
        with locked(path) as check:
            run = cls(path, settings, resume, check)
            try:
                yield run
            finally:
                run._close()

    @staticmethod
    def new_path(folder: str | Path = "runs") -> Path:
        """The path of a new run in a folder, named by the time."""
        return Path(folder) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")

    @staticmethod
    def latest_path(part: str = "") -> Path:
        """The folder in `runs` with the newest checkpoint. Raises `InputError` if there is none.

        Args:
            part: Pattern of the sub-folders that hold the runs of a cross-validation, such as "fold-*/".
        """
        written = {}
        for path in Path("runs").glob(f"*/{part}checkpoints/*.msgpack"):
            with contextlib.suppress(OSError):  # its run may just have removed it
                written[path] = path.stat().st_mtime
        if not written:
            raise InputError("the folder 'runs' holds no run to resume: name another as run_dir")
        return Path(*max(written, key=written.__getitem__).parts[:2])

    def restore(self, wanted: dict[str, Any], steps_per_epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the record and the tree of the checkpoint to resume from; the tree must match that of `wanted`."""
        path, record, tree = self._found
        try:
            _check_steps(record, self._settings["train"]["epochs"], steps_per_epoch)
            check_arrays(tree, wanted, finite=False)  # the state of some optimizers begins with infinity
        except SealedFileError as error:
            raise InputError(f"{path} {error}: start a new run in another folder") from error
        self._open_curves(record["step"], record["history"])
        return record, tree

    def begin(self, source: "DataSource", tree: dict[str, Any], n: int = 64) -> None:
        """Logs a grid of the first training images, and checks that a checkpoint can hold the tree.

        Raises `InputError` if it cannot.
        """
        self._checkpoints.check_storable(tree)
        self._open_curves(0, [])
        if self._curves:
            images, _ = source.examples("train", range(min(n, source.size("train"))))
            self._curves["train"].images("samples", images, 0)

    def log_step(self, step: int, batch_size: int, loss: float, accuracy: float, learning_rate: float) -> None:
        """Adds a point to the curves of training, with the images per second since the point before."""
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
        """Logs the last row of the history, its report on the validation split, and the weights."""
        self._write_history(history)
        if not self._curves:
            return
        curves, step = self._curves["validation"], history[-1]["step"]
        curves.scalar("loss", report.log_loss, step)
        curves.scalar("accuracy", report.accuracy, step)
        curves.figure("confusion_matrix", report.confusion_figure(), step)
        for path, leaf in jax.tree.leaves_with_path(params):
            if leaf.size:
                curves.histogram(jax.tree_util.keystr(path, simple=True, separator="/"), leaf, step)

    def log_end(self, chosen: dict[str, Any]) -> None:
        """Logs the run's settings with the chosen row of the history, for TensorBoard's table of runs."""
        if self.missing:
            return
        from .tensorboard import EventFile

        self._check()
        metrics = {name: value for name, value in chosen.items() if name not in ("epoch", "step")}
        table = EventFile(self.path, 0)  # replaces the row of a finished run that was resumed
        table.hparams(dict(_flat({**self._settings, "program": None})), metrics, chosen["step"])
        table.close()

    def save(self, record: dict[str, Any], tree: dict[str, Any]) -> None:
        """Writes a checkpoint of a record, with "step" and "history", and a tree of arrays."""
        for curves in self._curves.values():  # a resumed run does not log them again
            curves.flush()
        self._checkpoints.save(record["step"], {**record, "settings": self._settings}, tree)
        self._since, self.saved_at = None, time.monotonic()  # the time of a checkpoint is not that of a step

    def _close(self):
        for curves in self._curves.values():
            curves.close()

    def _open_curves(self, step, history):
        """Opens both curves after the checkpoint's step; later rows are dropped, as their steps are taken again."""
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
        self._check()
        table = io.StringIO()
        rows = csv.DictWriter(table, history[-1].keys() if history else (), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)
        write_bytes(self.path / "history.csv", table.getvalue().encode() if history else b"")


class Bystander:
    """Stands for the run directory in processes and runs without one: it writes nothing."""

    saved_at: float = math.inf
    missing: Sequence[str] = ()

    def restore(self, wanted: dict[str, Any], steps_per_epoch: int) -> NoReturn:
        """Raises `InputError`: there is nothing to resume from."""
        raise InputError("a run that keeps no run directory cannot be resumed: name it as run_dir")

    def begin(self, source: "DataSource", tree: dict[str, Any]) -> None:
        """Writes nothing."""

    def log_step(self, step: int, batch_size: int, loss: float, accuracy: float, learning_rate: float) -> None:
        """Writes nothing."""

    def log_epoch(self, history: list[dict[str, Any]], report: "Report", params: dict[str, Any]) -> None:
        """Writes nothing."""

    def log_end(self, chosen: dict[str, Any]) -> None:
        """Writes nothing."""

    def save(self, record: dict[str, Any], tree: dict[str, Any]) -> None:
        """Writes nothing."""


def _flat(settings, prefix=""):
    """Yields the settings by dotted names, with lists as text."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, (str, bool, int, float)) else json.dumps(value)


def _check_settings(path, old, new):
    """Raises `InputError` unless a run that began with the old settings may be resumed with the new ones."""
    try:
        if different := differences(_as_may_be(path, old, new), new, "{name} was {first}, is now {second}"):
            changed = _changed_images(old.get("source"), new.get("source"))
            raise InputError(f"{path} cannot be resumed with other settings: {changed}{different}")
        if "program" in new:
            program.check_same(path, old.get("program"), new["program"])
    except RecursionError as error:
        raise InputError(f"{path} cannot be resumed: its settings are nested too deeply") from error


def _changed_images(old, new):
    """The splits whose images changed since the run began, as the beginning of a sentence; "" if there are none."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return ""
    had, has, contents, new_contents = (_part(each, name) for name in ("sizes", "contents") for each in (old, new))
    changed = [split for split in new_contents if split in contents and contents[split] != new_contents[split]]
    told = ", ".join(
        f"{split} ({had.get(split)!a:.20} then, {has.get(split)} now)" if had.get(split) != has.get(split) else split
        for split in changed
    )
    return f"images were changed, added or removed in: {told}; " if changed else ""


def _part(settings, name) -> dict[str, Any]:
    """A dictionary within a dictionary; an empty one if it is missing or something else."""
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _as_may_be(path, old, new):
    """The old settings, updated by the new ones that a resumed run may change.

    These are a larger number of epochs, the program, which is compared by itself, and settings that the version of the
    old run did not have: defaults of the configuration, the initial classifier, and the digests of the images.
    """
    if "initial" in new:
        old = {"initial": None, **old}
    if "program" in new:
        old = {**old, "program": new["program"]}
    train, source = old.get("train"), old.get("source")
    if isinstance(train, dict):
        defaults = json.loads(json.dumps(asdict(TrainConfig())))
        train = _completed(train, defaults, new["train"])
        old = {**old, "train": train}
        if type(train.get("epochs")) is int and train["epochs"] < new["train"]["epochs"]:
            old["train"]["epochs"] = new["train"]["epochs"]
    if isinstance(source, dict) and "contents" in new["source"] and not isinstance(source.get("contents"), dict):
        warnings.warn(f"{path} does not tell which images it was trained on: these are assumed", stacklevel=2)
        old = {**old, "source": {**source, "contents": new["source"]["contents"]}}
    return old


def _completed(old, defaults, new):
    """The settings, completed by the defaults of those that only the new ones have, also of the augmentation."""
    later = {name: defaults[name] for name in defaults.keys() & new.keys() - old.keys()}
    augmentation = old.get("augmentation")
    if isinstance(augmentation, dict) and "augmentation" in new:
        later["augmentation"] = {**defaults["augmentation"], **augmentation}
    return {**old, **later}


def _check_steps(record, epochs, per_epoch):
    """Raises `SealedFileError` if the steps and epochs of a record contradict each other or the run."""
    history, step = record["history"], record["step"]
    rows = [(epoch, epoch * per_epoch) for epoch in range(1, len(history) + 1)]
    fits = len(history) == step // per_epoch <= epochs and (history or not record["stopped"])
    if not fits or [(row["epoch"], row["step"]) for row in history] != rows:
        raise SealedFileError(f"has {step:,} steps with {len(history):,} epochs of {per_epoch:,} steps")
