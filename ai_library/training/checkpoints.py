"""Checkpoints of a training run, each written whole or not at all, and checked when it is read."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.sealed_file import SealedFileError, SealedFormat

FORMAT = SealedFormat(magic=b"AILCHECK", version=1, name="a checkpoint")
KEPT = 3


class Checkpoints:
    """A folder with the newest few checkpoints of a run, sealed files named by their steps."""

    def __init__(self, folder: Path):
        self._folder = folder

    def exist(self) -> bool:
        return bool(self._paths())

    @staticmethod
    def check_storable(tree: Any) -> None:
        """Raises `InputError` where a checkpoint can't hold this tree of arrays, which a run would save."""
        FORMAT.storable(tree)

    def save(self, step: int, record: dict[str, Any], tree: Any) -> None:
        """Writes one, of a record as JSON has it and a tree of arrays; then removes all but the newest, and what a
        killed process left half-written. Raises `InputError` where it can't be written; the older ones stay.
        """
        FORMAT.write(self._folder / f"{step:010}.msgpack", record, tree)
        for path in {*self._folder.glob("*.msgpack*")} - {*self._paths()[-KEPT:]}:
            path.unlink(missing_ok=True)

    def newest(self) -> tuple[Path, dict[str, Any], dict[str, Any]]:
        """Path, record and tree of the newest that is whole.

        Warns of each damaged one that it passes over, and renames it. Raises `InputError` where none is left, and
        where one needs newer code.
        """
        for path in reversed(self._paths()):
            try:
                return path, *FORMAT.read(path)[1:]
            except SealedFileError as error:
                if error.mend:
                    raise InputError(f"{path} {error}: {error.mend}") from error
                warnings.warn(f"{path} {error}: going on from the checkpoint before it", stacklevel=2)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
        raise InputError(f"{self._folder} holds no checkpoint that can be read: start a new run in another folder")

    def _paths(self):
        return sorted(self._folder.glob("[0-9]*.msgpack"))
