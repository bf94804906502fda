"""Checkpoints of a training run, each written whole or not at all, and checked when it is read."""

import contextlib
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.sealed_file import SealedFileError, SealedFormat

FORMAT = SealedFormat(magic=b"AILCHECK", version=1, name="a checkpoint")
KEPT = 3
_MOST = 2**53
_FIELDS = {
    "step": (int, 0, _MOST),
    "loss": (float, -math.inf, math.inf),
    "correct": (int, 0, _MOST),
    "stopped": (bool, False, True),
}
"""The fields of a record beside "history" and "settings": type, lowest and highest value."""
_ROW = {
    "epoch": (int, 1, _MOST),
    "step": (int, 1, _MOST),
    "train_loss": (float, -math.inf, math.inf),
    "train_accuracy": (float, 0, 1),
    "validation_loss": (float, 0, math.inf),
    "validation_accuracy": (float, 0, 1),
    "temperature": (float, 0.01, 100),
}
"""The fields of a row of the history, in the same form."""
_MEND = "start a new run in another folder, or go on with the version of ai_library that wrote it"


class Checkpoints:
    """A folder with the newest checkpoints of a run, each a sealed file named by its step."""

    def __init__(self, folder: Path, check: Callable[[], None]):
        """`check` is called before each write or removal and raises an error to prevent it."""
        self._folder, self._check = folder, check

    def exist(self) -> bool:
        """Whether there is a checkpoint, damaged or not."""
        return bool(self._paths())

    @staticmethod
    def check_storable(tree: Any) -> None:
        """Raises `InputError` if a checkpoint could not hold this tree of arrays."""
        FORMAT.storable(tree)

    def save(self, step: int, record: dict[str, Any], tree: Any) -> None:
        """Writes a checkpoint: a record of JSON values, and a tree of arrays.

        Afterwards it removes all but the newest checkpoints, and what a killed process left half-written. Raises
        `InputError` if the checkpoint cannot be written; the older ones are then kept.
        """
        self._check()
        FORMAT.write(self._folder / f"{step:010}.msgpack", record, tree)
        self._check()
        for path in {*self._folder.glob("*.msgpack*")} - {*self._paths()[-KEPT:]}:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                warnings.warn(f"{path} cannot be removed: {error.strerror}", stacklevel=2)

    def newest(self) -> tuple[Path, dict[str, Any], dict[str, Any]]:
        """Returns the path, record and tree of the newest undamaged checkpoint.

        It warns of each damaged checkpoint and renames it. Raises `InputError` if none is left, or if one is undamaged
        but of another version.
        """
        for path in reversed(self._paths()):
            try:
                _, record, tree = FORMAT.read(path)
                _check_record(record)
                return path, record, tree
            except SealedFileError as error:
                if error.mend:
                    raise InputError(f"{path} {error}: {error.mend}") from error
                warnings.warn(f"{path} {error}: going on from the checkpoint before it", stacklevel=2)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
        raise InputError(f"{self._folder} holds no checkpoint that can be read: start a new run in another folder")

    def _paths(self):
        return sorted(self._folder.glob("[0-9]*.msgpack"))


def _check_record(record):
    """Raises `SealedFileError` unless a record has the fields, types and ranges that `save` writes."""
    _check_fields(record, {**_FIELDS, "history": (list,), "settings": (dict,)}, "")
    for number, row in enumerate(record["history"], 1):
        if not isinstance(row, dict):
            raise SealedFileError(f"has row {number} of its history as {type(row).__name__}", _MEND)
        _check_fields(row, _ROW, f" in row {number} of its history")


def _check_fields(found, wanted, where):
    for name in sorted(found.keys() ^ wanted.keys()):
        raise SealedFileError(f"{'lacks the' if name in wanted else 'has the unexpected'} field {name!r}{where}", _MEND)
    for name, (kind, *bounds) in wanted.items():
        value = found[name]
        if type(value) is not kind or not (not bounds or _within(value, *bounds)):
            shown = str(value) if isinstance(value, (bool, int, float)) else type(value).__name__
            raise SealedFileError(f"has {name} as {shown}{where}, which no run writes", _MEND)


def _within(value, low, high):
    return low <= value <= high and math.isfinite(value)
