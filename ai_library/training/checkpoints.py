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
"""Of a record, beside "history" and "settings": type, lowest and highest value."""
_ROW = {
    "epoch": (int, 1, _MOST),
    "step": (int, 1, _MOST),
    "train_loss": (float, -math.inf, math.inf),
    "train_accuracy": (float, 0, 1),
    "validation_loss": (float, 0, math.inf),
    "validation_accuracy": (float, 0, 1),
    "temperature": (float, 0.01, 100),
}
"""The same of a row of the history."""
_MEND = "start a new run in another folder, or go on with the version of ai_library that wrote it"


class Checkpoints:
    """A folder with the newest few checkpoints of a run, sealed files named by their steps."""

    def __init__(self, folder: Path, check: Callable[[], None]):
        """`check` is called before a file is written or removed, and raises where it must not be."""
        self._folder, self._check = folder, check

    def exist(self) -> bool:
        """Whether there is a checkpoint, damaged or not."""
        return bool(self._paths())

    @staticmethod
    def check_storable(tree: Any) -> None:
        """Raises `InputError` where a checkpoint can't hold this tree of arrays, which a run would save."""
        FORMAT.storable(tree)

    def save(self, step: int, record: dict[str, Any], tree: Any) -> None:
        """Writes a checkpoint of a record, JSON, and a tree of arrays.

        Then removes all but the newest ones, and files that a killed process left half-written. Raises `InputError`
        where it can't be written; the older ones stay.
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
        """Path, record and tree of the newest that is whole.

        Warns of each damaged one that it passes over, and renames it. Raises `InputError` where none is left, and
        where one is whole but needs other code.
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
    """Raises `SealedFileError` for a record that isn't what `save` is given."""
    _check_fields(record, {**_FIELDS, "history": (list,), "settings": (dict,)}, "")
    for number, row in enumerate(record["history"], 1):
        if not isinstance(row, dict):
            raise SealedFileError(f"has row {number} of its history as {type(row).__name__}", _MEND)
        _check_fields(row, _ROW, f" in row {number} of its history")


def _check_fields(found, wanted, where):
    for name in sorted(found.keys() ^ wanted.keys()):
        raise SealedFileError(f"{'lacks' if name in wanted else 'has no use for'} the field {name!r}{where}", _MEND)
    for name, (kind, *bounds) in wanted.items():
        value = found[name]
        if type(value) is not kind or not (not bounds or _within(value, *bounds)):
            shown = str(value) if isinstance(value, (bool, int, float)) else type(value).__name__
            raise SealedFileError(f"has {name} as {shown}{where}, which no run writes", _MEND)


def _within(value, low, high):
    return low <= value <= high and math.isfinite(value)
