"""Files that are either the old ones or the new ones, whatever happens while they are written."""

import os
import tempfile
from pathlib import Path

from .errors import InputError


def write_bytes(path, data: bytes):
    """Writes a file by way of a temporary one beside it; makes the folder. Raises `InputError` where it can't."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}; choose a place that can be written to") from error
