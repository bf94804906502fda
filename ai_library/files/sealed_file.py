"""Files that are checked before they are used: a header and a tree of arrays, sealed by a digest.

8 bytes   magic, which tells one kind of file from another
4 bytes   version of the kind, little-endian
4 bytes   length of the header, little-endian
header    JSON
arrays    nested dictionaries of arrays, by `flax.serialization`
32 bytes  SHA-256 of all of the above

The digest detects damage, not attacks: an attacker can compute it. So reading bounds all resources: it takes at most
twice the size of the file in memory, plus 100 MB.
"""

import hashlib
import json
import math
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from ..errors import InputError
from .atomic import replacing
from .text import escaped

MAX_FILE = 1 << 30
MAX_HEADER = 1 << 21
MAX_ARRAYS = MAX_FILE - 2 * MAX_HEADER
_LEAD = struct.Struct("<8sII")
_DIGEST = hashlib.sha256().digest_size
_TYPES = (
    *("float32", "bfloat16", "float16"),
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
)
"""Types of arrays: those of networks and of optax's states. Nothing is trained with 64 bits."""
_MAX_ENTRIES = 4096
"""Most dictionaries and entries in the whole tree."""
_MAX_NAME = 128
"""Most bytes of an entry's name."""
_MAX_SIDES = 32
_ARRAY_BYTES = 256
"""Upper bound of the bytes of an array's shape, type and lengths."""
_FLAX_ARRAY = 1
_WIDTH_OF_LENGTH = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""Number of bytes of a binary's length, by msgpack's type byte."""


class SealedFileError(InputError):
    """A fault of a file. Its text completes a sentence that begins with the file's name; `mend` says what to do."""

    def __init__(self, wrong: str, mend: str | None = None):
        # The text may quote the file: it must not contain control sequences or be long.
        super().__init__(escaped(wrong[:300]))
        self.mend = mend


@dataclass(frozen=True)
class SealedFormat:
    """A kind of sealed file: it begins with `magic`, is written as `version`, and read up to that version."""

    magic: bytes
    version: int
    name: str
    """Name of the kind in messages, such as "a model"."""

    def write(
        self,
        path: str | Path,
        header: dict[str, Any],
        tree: Any,
        check: Callable[[dict[str, Any], dict[str, Any]], object] | None = None,
    ) -> None:
        """Writes a file. An existing one is replaced only when the new one is complete.

        The same content gives the same bytes. `check` is called with the header and the tree as they will be read.
        Raises `InputError` if the file cannot be written, could not be read again (see `storable`), or `check` raises
        `SealedFileError`.
        """
        try:
            encoded = json.dumps(header, allow_nan=False).encode()
        except ValueError as error:
            raise InputError(f"{path} cannot hold figures that are not finite") from error
        except TypeError as error:
            raise InputError(f"{path} cannot hold what JSON has no form for: {error}") from error
        tree = self.storable(tree)
        if check:
            try:
                check(json.loads(encoded), tree)
            except SealedFileError as error:
                raise InputError(f"{path} is not written, since it could not be read again: it {error}") from error
        if len(encoded) > MAX_HEADER:
            raise InputError(f"{path} can hold a header of at most {MAX_HEADER:,} bytes, got {len(encoded):,}")
        import flax.serialization  # reading does not need it, and its import takes a second

        arrays = flax.serialization.msgpack_serialize(tree)
        digest = hashlib.sha256()
        with replacing(path, "wb") as file:
            for part in (_LEAD.pack(self.magic, self.version, len(encoded)), encoded, arrays):
                digest.update(part)
                file.write(part)
            file.write(digest.digest())

    def storable(self, tree: Any) -> dict[str, Any]:
        """The tree as nested dictionaries of numpy arrays, as it will be read.

        Raises an `InputError` that names the array, if such a file cannot hold it. So every written file can be read.
        """
        import flax.serialization
        import jax

        stored = flax.serialization.to_state_dict(tree)
        if not isinstance(stored, dict):
            raise InputError(f"{self.name} must hold a dictionary of arrays, got {type(tree).__name__}")
        try:
            stored = jax.tree.map(np.asarray, stored)
        except TypeError as error:
            raise InputError(f"{self.name} can only hold arrays of numbers: {error}") from error
        self._check_limits(stored)
        return stored

    def _check_limits(self, tree):
        """Raises `InputError` if a tree of numpy arrays exceeds the limits of `_tree`."""
        entries, size, waiting = 0, 0, [("", tree)]
        while waiting:
            path, value = waiting.pop()
            if isinstance(value, dict):
                entries, size = entries + 1 + len(value), size + sum(map(_bytes_of_name, value))
                waiting += [(f"{path}/{name}" if path else str(name), child) for name, child in value.items()]
                if wrong := [name for name in value if not isinstance(name, str) or len(name.encode()) > _MAX_NAME]:
                    raise InputError(
                        f"{self.name} holds names of at most {_MAX_NAME} bytes, got {wrong[0]!r} in {path}"
                    )
            elif value is not None and not isinstance(value, np.ndarray):
                raise InputError(
                    f"{self.name} holds arrays in dictionaries, lists, tuples and NamedTuples, but {path} is "
                    f"{type(value).__name__}: make its class a NamedTuple or a flax.struct.dataclass"
                )
            elif value is not None:
                size += value.nbytes + _ARRAY_BYTES
                if value.dtype.name not in _TYPES or value.ndim > _MAX_SIDES:
                    raise InputError(
                        f"{self.name} holds arrays of {', '.join(_TYPES)} with at most {_MAX_SIDES} dimensions, but "
                        f"{path} is {_description(value)}"
                    )
        if entries > _MAX_ENTRIES:
            raise InputError(f"{self.name} holds at most {_MAX_ENTRIES:,} dictionaries and entries, got {entries:,}")
        if size > MAX_ARRAYS:
            raise InputError(
                f"{self.name} holds at most {MAX_ARRAYS:,} bytes, and this network needs {size:,}: take smaller "
                "images, larger patches or fewer channels"
            )

    def read(self, path: str | Path) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """Returns version, header, and tree of read-only arrays. Raises `SealedFileError` if the file is invalid."""
        data = memoryview(_content(Path(path)))
        if data[:24] == b"version https://git-lfs.":
            raise SealedFileError(f"is a Git LFS pointer, not {self.name}", "run 'git lfs pull'")
        if len(data) < _LEAD.size + _DIGEST or data[: len(self.magic)] != self.magic:
            raise SealedFileError(f"is not {self.name}")
        _, version, header_length = _LEAD.unpack_from(data)
        if version > self.version:
            raise SealedFileError(
                f"has version {version} of its format, this code knows {self.version}", "update ai_library"
            )
        if hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
            raise SealedFileError("is damaged, its digest does not match")
        end = _LEAD.size + header_length
        if header_length > MAX_HEADER or end > len(data) - _DIGEST or version < 1:
            raise SealedFileError("is damaged, it begins with impossible numbers")
        return version, _header(data[_LEAD.size : end]), _tree(data[end:-_DIGEST])


def check_arrays(found: dict[str, Any], wanted: dict[str, Any], finite: bool = True) -> None:
    """Raises `SealedFileError` unless a tree has the paths of `wanted`, and arrays of the same shapes and types.

    With `finite`, all values must be finite.
    """
    found, wanted = dict(_leaves(found)), dict(_leaves(wanted))
    for path in sorted(found.keys() ^ wanted.keys()):
        raise SealedFileError(f"{'lacks' if path in wanted else 'has the unexpected'} {path}")
    for path, leaf in sorted(wanted.items()):
        if _description(found[path]) != _description(leaf):
            raise SealedFileError(f"has {path} as {_description(found[path])}, but {_description(leaf)} is wanted")
        if finite and isinstance(found[path], np.ndarray) and not _finite(found[path]):
            raise SealedFileError(f"has values in {path} that are not finite")


def _content(path):
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe could block
            raise SealedFileError("is not a regular file")
        if status.st_size > MAX_FILE:
            raise SealedFileError(f"is larger than {MAX_FILE:,} bytes")
        with open(path, "rb") as file:
            return file.read(MAX_FILE)
    except FileNotFoundError as error:
        raise SealedFileError(f"cannot be read: {error.strerror}") from error
    except OSError as error:  # says nothing about the content
        raise SealedFileError(f"cannot be read: {error.strerror}", "make it readable, or try again") from error


def _header(data) -> dict:
    def finite(number):  # json reads 1e999 as infinity, and accepts NaN
        if not math.isfinite(value := float(number)):
            raise ValueError(f"{number:.20} is not a number")
        return value

    try:
        header = json.loads(str(data, "utf-8"), parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise SealedFileError(f"has a header that is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise SealedFileError("has a header that is not a JSON object")
    return header


def _tree(data) -> dict:
    """Reads nested dictionaries of arrays, like `flax.serialization.msgpack_restore`, and refuses everything else.

    Flax's function copies each array twice, and has no bounds on lists, nesting and types.
    """
    entries = 0

    def count(dictionary):
        nonlocal entries
        entries += 1 + len(dictionary)
        if entries > _MAX_ENTRIES:
            raise ValueError(f"more than {_MAX_ENTRIES} entries")
        for name, value in dictionary.items():
            if not isinstance(name, str) or not (value is None or isinstance(value, (dict, np.ndarray))):
                raise ValueError(f"{name!a} is {type(value).__name__}")
        return dictionary

    limits = {"max_array_len": 0, "max_bin_len": 0, "max_map_len": _MAX_ENTRIES, "max_str_len": _MAX_NAME}
    try:
        tree = msgpack.unpackb(data, ext_hook=_array, object_hook=count, **limits)
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise SealedFileError(f"holds something else than arrays ({error})") from error
    if not isinstance(tree, dict):
        raise SealedFileError("holds something else than arrays")
    return tree


def _array(code, data):
    """Reads an array as flax packs it, (shape, name of the type, bytes), without copying the bytes."""
    if code != _FLAX_ARRAY:
        raise ValueError(f"code {code}")
    unpacker = msgpack.Unpacker(max_array_len=_MAX_SIDES, max_str_len=32, max_map_len=0, max_bin_len=0, max_ext_len=0)
    unpacker.feed(data[:256])  # more than shape and type take
    if unpacker.read_array_header() != 3:
        raise ValueError("an array needs shape, type and bytes")
    shape, dtype = tuple(unpacker.unpack()), _dtype(unpacker.unpack())
    start = unpacker.tell() + 1
    width = _WIDTH_OF_LENGTH[data[start - 1]]
    length = int.from_bytes(data[start : start + width], "big")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    if not math.prod(shape) * dtype.itemsize == length == len(data) - start - width:
        raise ValueError(f"{len(data):,} bytes for an array of shape {shape}")
    return np.frombuffer(data, dtype, offset=start + width).reshape(shape)


def _dtype(name):
    if name not in _TYPES:
        raise ValueError(f"an array of type {name!a}")
    if name == "bfloat16":
        import ml_dtypes  # registers bfloat16 with numpy

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _bytes_of_name(name):
    return len(str(name).encode()) + 5  # plus msgpack's length


def _leaves(tree):
    """Yields the path and the value of each leaf: anything but a non-empty dictionary."""
    waiting = [("", tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{path}/{name}" if path else name, child) for name, child in value.items()]
        else:
            yield path, value


def _finite(array):
    """Whether all values are finite, by the minimum and maximum, which take no memory."""
    return array.size == 0 or bool(np.isfinite([array.min(), array.max()]).all())


def _description(leaf):
    return f"{leaf.dtype}{tuple(leaf.shape)}" if hasattr(leaf, "shape") else type(leaf).__name__
