"""Reads the arrays of an npz file in parts, in bounded memory, after checks of their headers."""

import contextlib
import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...files.text import escaped, shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE_BYTES = 64_000_000
"""Most bytes of an array in Fortran order, which can only be read whole."""
_BLOCK_BYTES = 16_000_000  # of an array in memory at a time
_PIECE_BYTES = 1_000_000  # of an array decompressed at a time
_CONTENTS_BYTES = 1_000_000  # largest zip directory; numpy's take about a hundred per array


def check_size(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    """Raises an error unless an array has the size of its header, before any data is read."""
    if archive.getinfo(f"{name}.npy").file_size < dtype.itemsize * math.prod(shape):
        raise EOFError(f"its array {name!r} ends too early")


def rows(path: str | Path, name: str) -> "Iterator[NDArray[Any]]":
    """Yields the rows of an array of an npz file; the decompressed array may be larger than the memory."""
    with archive_of(path) as archive:
        for block in blocks(archive, name):
            yield from block


class _Contents(io.FileIO):
    """A file that bounds the zip directory that `zipfile` reads, since each entry becomes an object."""

    checked = False

    def read(self, size: int | None = -1) -> bytes:
        if not self.checked and (size or 0) > _CONTENTS_BYTES:
            raise ValueError("it has far more parts than an npz file")
        return super().read(size)


@contextlib.contextmanager
def archive_of(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Opens an npz file. Any error within the block becomes an `InputError` about the file."""
    try:
        with _Contents(path) as file, zipfile.ZipFile(file) as archive:
            file.checked = True
            yield archive
    except InputError:
        raise
    except Exception as error:  # zipfile raises nearly anything: BadZipFile, zlib.error, struct.error, RuntimeError
        reason = escaped(str(error) or type(error).__name__)
        raise InputError(f"{path} cannot be read as .npz: {shortened(reason, 300)}") from error


@contextlib.contextmanager
def _array(archive, name) -> Iterator[tuple[tuple[tuple[int, ...], bool, np.dtype], IO[bytes]]]:
    """(shape, whether in Fortran order, dtype) of an array, and the stream at the beginning of its data."""
    if archive.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its array {name!r} is compressed in another way than numpy does it")  # unbounded
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # later versions are for structured arrays, with headers of any size
            raise ValueError(f"an array of format version {version}, where numbers have (1, 0)")
        try:
            with warnings.catch_warnings(action="ignore"):  # about headers of old numpy versions
                shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        except Exception as error:  # numpy's message repeats the header and recommends to unpickle
            raise ValueError(f"its array {name!r} has a header that describes no array") from error
        if len(shape) > 8 or max(shape, default=0) > WHOLE_BYTES**2:
            raise ValueError(f"its array {name!r} has a shape that no array has")
        if dtype.hasobject:
            raise ValueError("it holds pickled Python objects, which are never loaded: they may run programs")
        yield (shape, by_columns, dtype), stream


def header(archive: zipfile.ZipFile, name: str) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    """(shape, whether in Fortran order, dtype) of an array, without reading its data."""
    with _array(archive, name) as (header, _):
        return header


def blocks(archive: zipfile.ZipFile, name: str) -> "Iterator[NDArray[Any]]":
    """Yields an array in parts (m, ...) of about `_BLOCK_BYTES`, each of at least one row."""
    with _array(archive, name) as (((n, *row), by_columns, dtype), stream):
        rows = n if by_columns and row else max(1, _BLOCK_BYTES // (dtype.itemsize * math.prod(row)))
        for start in range(0, n, rows):
            block = np.empty((min(rows, n - start), *row), dtype, order="F" if by_columns else "C")
            data = block.reshape(-1, order="A").view(np.uint8)
            for piece in np.split(data, range(_PIECE_BYTES, len(data), _PIECE_BYTES)):
                found = stream.read(len(piece))
                if len(found) < len(piece):
                    raise EOFError(f"its array {name!r} ends too early")
                piece[:] = np.frombuffer(found, np.uint8)
            yield block
