"""What a training run leaves behind: curves, history, configuration, and checkpoints to go on from."""

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
from .checkpoints import Checkpoints
from .config import TrainConfig

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

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool, check: Callable[[], None]):
        self.path: Path = path
        self._settings, self._check = settings, check
        self._checkpoints = Checkpoints(path / "checkpoints", check)
        if resume:
            if not self._checkpoints.exist():
                raise InputError(f"{path} holds no checkpoint to resume from: start a run there by fit()")
            self._found = self._checkpoints.newest()
            began_with = self._found[1].pop("settings")
            if "initial" in settings and settings["initial"] is None:  # it has taken over what it began with
                self._settings = settings = {**settings, "initial": began_with.get("initial")}
            _check_settings(path, began_with, settings)
        elif self._checkpoints.exist():
            raise InputError(f"{path} holds a run already: go on with it by fit(resume=True), or choose another folder")
        check_writable(path / "checkpoints/0.msgpack")
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
        other settings, where another process writes there, and, also within the block, where it can't be written, or
        another folder has taken its place.
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
        """A path in a folder for a new run, named by the time."""
        return Path(folder) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")

    @staticmethod
    def latest_path() -> Path:
        """The folder in `runs` with the newest checkpoint. Raises `InputError` where there is none."""
        written = {}
        for path in Path("runs").glob("*/checkpoints/*.msgpack"):
            with contextlib.suppress(OSError):  # its run may just have removed it
                written[path] = path.stat().st_mtime
        if not written:
            raise InputError("the folder 'runs' holds no run to resume: name another as run_dir")
        return max(written, key=written.__getitem__).parents[1]

    def restore(self, wanted: dict[str, Any], steps_per_epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Record and tree of the checkpoint to go on from; the tree has the shapes and types of `wanted`."""
        path, record, tree = self._found
        try:
            _check_steps(record, self._settings["train"]["epochs"], steps_per_epoch)
            check_arrays(tree, wanted, finite=False)  # an optimizer may begin with infinities
        except SealedFileError as error:
            raise InputError(f"{path} {error}: start a new run in another folder") from error
        self._open_curves(record["step"], record["history"])
        return record, tree

    def begin(self, source: "DataSource", tree: dict[str, Any], n: int = 64) -> None:
        """Logs a grid of the first training images.

        Raises `InputError` where a checkpoint can't hold the tree, which is to be saved.
        """
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

        self._check()
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
        self._check()
        table = io.StringIO()
        rows = csv.DictWriter(table, history[-1].keys() if history else (), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)
        write_bytes(self.path / "history.csv", table.getvalue().encode() if history else b"")


class Bystander:
    """What stands for the run directory in processes and in runs that have none: it writes nothing."""

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
    """Yields the settings with dotted names, lists as text."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, (str, bool, int, float)) else json.dumps(value)


def _check_settings(path, old, new):
    """Raises `InputError` unless a run that began with the old settings may go on with the new ones."""
    try:
        if different := differences(_as_may_be(path, old, new), new, "{name} was {first}, is now {second}"):
            changed = _changed_images(old.get("source"), new.get("source"))
            raise InputError(f"{path} cannot be resumed with other settings: {changed}{different}")
    except RecursionError as error:
        raise InputError(f"{path} cannot be resumed: its settings are nested too deeply") from error


def _changed_images(old, new):
    """Which splits have other images than a run began with, as the beginning of a sentence; "" where none has."""
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
    """A dictionary within a dictionary; an empty one where it holds something else."""
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _as_may_be(path, old, new):
    """The old settings, updated by those new ones that a resumed run may change.

    These are more epochs, and, where an earlier version did not have them, defaults of the configuration, an initial
    classifier and digests of the images.
    """
    if "initial" in new:
        old = {"initial": None, **old}
    train, source = old.get("train"), old.get("source")
    if isinstance(train, dict):
        defaults = json.loads(json.dumps(asdict(TrainConfig())))
        train = _completed(train, defaults, new["train"])
        old = {**old, "train": train}
        if type(train.get("epochs")) is int and train["epochs"] < new["train"]["epochs"]:
            old["train"]["epochs"] = new["train"]["epochs"]
    if isinstance(source, dict) and "contents" in new["source"] and not isinstance(source.get("contents"), dict):
        warnings.warn(f"{path} does not tell which images it was trained on: going on as if with these", stacklevel=2)
        old = {**old, "source": {**source, "contents": new["source"]["contents"]}}
    return old


def _completed(old, defaults, new):
    """Settings with the defaults of those that they do not have but the new ones do, also of the augmentation."""
    later = {name: defaults[name] for name in defaults.keys() & new.keys() - old.keys()}
    augmentation = old.get("augmentation")
    if isinstance(augmentation, dict) and "augmentation" in new:
        later["augmentation"] = {**defaults["augmentation"], **augmentation}
    return {**old, **later}


def _check_steps(record, epochs, per_epoch):
    """Raises `SealedFileError` where steps and epochs of a record contradict each other, or those of the run."""
    history, step = record["history"], record["step"]
    rows = [(epoch, epoch * per_epoch) for epoch in range(1, len(history) + 1)]
    fits = len(history) == step // per_epoch <= epochs and (history or not record["stopped"])
    if not fits or [(row["epoch"], row["step"]) for row in history] != rows:
        raise SealedFileError(f"has {step:,} steps with {len(history):,} epochs of {per_epoch:,} steps")
