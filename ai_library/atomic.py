"""Files that are either the old ones or the new ones, whatever happens while they are written."""

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def replacing(path, mode="w"):
    """Opens a temporary file beside `path` that takes its place when the block ends well; makes the folder.

    Raises `InputError` where it can't be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": ""})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror}; choose a place that can be written to") from error
        raise


def write_bytes(path, data: bytes):
    """Writes a file whole. Raises `InputError` where it can't."""
    with replacing(path, "wb") as file:
        file.write(data)
