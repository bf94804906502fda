"""Images to predict, with their labels where these are known, out of a file, a folder or an npz file."""

import collections
import contextlib
import hashlib
import io
import itertools
import math
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar, NamedTuple, Protocol

import numpy as np

from ..errors import MAX_CHANNELS, InputError
from ..files.text import escaped, listed, shortened
from ..runtime.agreement import check_alike
from ..runtime.distributed import shard
from .decoding import MAX_PIXELS
from .fitting import fit_image
from .image_files import IMAGE_ENDINGS, image_files
from .reading import read_image

_BLOCK_BYTES = 16_000_000  # of the arrays in an npz file, held at a time
_PIECE_BYTES = 1_000_000  # of them, unpacked at a time
_WHOLE_BYTES = 64_000_000  # the most of an array in Fortran's order, which can only be read whole
_CONTENTS_BYTES = 1_000_000  # the most of a list of contents, of which numpy's have a hundred for each array


class Sample(NamedTuple):
    """An image to predict, or why it can't be."""

    name: str
    """The file's path below its folder, or the index in its npz file."""
    label: int | None
    image: np.ndarray | None
    """(h, w, c) uint8; None where it could not be read."""
    error: str = ""


class Reader(Protocol):
    """What `read_samples` asks of whoever predicts the images; a `Classifier` is one."""

    BLOCK: ClassVar[int]

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def content_size(self) -> int | None: ...


def read_samples(path: str | Path, classifier: Reader) -> Iterator[Sample]:
    """Yields the images of a file, of a folder whose sub-folders are named like classes, or of an npz file, one by one.

    Of several processes (see `distributed`) each gets its share of them, in the order of the processes; all need the
    same, told by the names and sizes of files, or what an npz file says of its arrays.

    Args:
        path: The file or folder.
        classifier: Whoever predicts them: its `class_names`, `image_shape` and `content_size` say how images are read
            and which labels there are, and its `BLOCK` in which units processes share them.

    Raises:
        InputError: At once, where there is nothing to predict, labels are none of the classifier's, or another process
            has other images.
    """
    path = Path(path)
    check_alike(lambda: {"data": _listed(path), **_read_for(classifier)})
    if os.path.isdir(path):
        return _from_folder(path, classifier)
    _check_exists(path)
    if _is_npz(path):
        return _from_arrays(path, classifier)
    return (_read(path, path.name, None, classifier) for _ in shard(1, classifier.BLOCK))


def _read_for(classifier):
    """What of a classifier decides how images are read."""
    names = ("class_names", "image_shape", "content_size")
    return {"model": {name: getattr(classifier, name) for name in names}}


def _check_exists(path):
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist: name an image, a folder of images or an .npz file")


def _is_npz(path):
    return path.suffix.lower() == ".npz" and path.is_file()


def _listed(path):
    """What tells the images of a path from others without reading them, for processes that share them."""
    _check_exists(path)
    digest, folder = hashlib.sha256(), os.path.isdir(path)
    if not folder and _is_npz(path):
        with _archive(path) as archive:
            digest.update(repr([(each.filename, each.CRC, each.file_size) for each in archive.infolist()]).encode())
    for file in image_files(path) if folder else [path]:
        size = -1
        with contextlib.suppress(OSError):  # a link that leads nowhere
            size = file.stat().st_size
        digest.update(f"{file.relative_to(path if folder else path.parent)}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _from_folder(folder, classifier):
    found = collections.Counter(_sub_folder(path, folder) for path in image_files(folder))  # before any is read
    if not found:
        raise InputError(f"{folder} holds no images: it needs files that end in {', '.join(IMAGE_ENDINGS)}")
    labels = {name: label for label, name in enumerate(classifier.class_names)}
    if unknown := sorted(name for name in found if name is not None and name not in labels):
        raise InputError(
            f"{folder} has the sub-folder {unknown[0]!r}, but this model's classes are "
            f"{listed(classifier.class_names)}: rename it, or use a model that was trained on these classes"
        )
    own = shard(found.total(), classifier.BLOCK)
    return (
        _read(path, str(path.relative_to(folder)), labels.get(_sub_folder(path, folder)), classifier)
        for path in itertools.islice(image_files(folder), own.start, own.stop)
    )


def _sub_folder(path, folder):
    """The first folder on the way from `folder` to a file; None for a file that lies directly in it."""
    return None if path.parent == folder else path.relative_to(folder).parts[0]


def _read(path, name, label, classifier):
    try:
        return Sample(name, label, read_image(path, classifier.image_shape, classifier.content_size))
    except InputError as error:
        return Sample(name, label, None, str(error))


def _from_arrays(path, classifier):
    with _archive(path) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise InputError(f"{path} has no array 'images': save it by np.savez(file, images=..., labels=...)")
        shape, by_columns, dtype = _header(archive, "images")
        _check_images(path, shape, by_columns, dtype)
        labelled = "labels.npy" in names
        if labelled:
            labels_shape, _, labels_dtype = _header(archive, "labels")
            if labels_shape != shape[:1] or labels_dtype.kind not in "iu":
                raise InputError(
                    f"{path} must have labels of integers of shape ({shape[0]},), got {labels_dtype} {labels_shape}"
                )
            _check_size(archive, "labels", labels_shape, labels_dtype)
        _check_size(archive, "images", shape, dtype)
        if labelled:
            for labels in _blocks(archive, "labels"):
                _check_labels(path, labels, classifier.class_names)
    own = shard(shape[0], classifier.BLOCK)
    labels = _rows(path, "labels") if labelled else itertools.repeat(None)
    return (
        Sample(
            str(i),
            None if label is None else int(label),
            fit_image(image, classifier.image_shape, classifier.content_size),
        )
        for i, (image, label) in itertools.islice(
            enumerate(zip(_rows(path, "images"), labels, strict=False)), own.start, own.stop
        )
    )


def _check_images(path, shape, by_columns, dtype):
    if dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] > MAX_CHANNELS):
        raise InputError(
            f"{path} must have images uint8 (n, h, w) or (n, h, w, c) of 1 to {MAX_CHANNELS} channels, got {dtype} "
            f"{shape}"
        )
    if min(shape) < 1:
        raise InputError(f"{path} holds no images: their shape is {shape}")
    if shape[1] * shape[2] > MAX_PIXELS:
        raise InputError(
            f"{path} has images of {shape[1]:,} x {shape[2]:,} pixels, and at most {MAX_PIXELS:,} pixels are read: "
            "save them smaller"
        )
    if by_columns and math.prod(shape) > _WHOLE_BYTES:
        raise InputError(
            f"{path} has {math.prod(shape):,} bytes of images in Fortran's order, of which {_WHOLE_BYTES:,} are the "
            "most: save them by np.ascontiguousarray(images)"
        )


def _check_labels(path, labels, class_names):
    if not 0 <= labels.min() <= labels.max() < len(class_names):
        raise InputError(
            f"{path} has labels from {labels.min()} to {labels.max()}, but this model's classes are 0 to "
            f"{len(class_names) - 1} ({listed(class_names)}): use a model that was trained on these classes"
        )


def _check_size(archive, name, shape, dtype):
    """Raises unless an array is as large as its header says, before anything of it, or of the next one, is read."""
    if archive.getinfo(f"{name}.npy").file_size < dtype.itemsize * math.prod(shape):
        raise EOFError(f"its array {name!r} ends too early")


def _rows(path, name):
    """The rows of an array of an npz file one by one; what it unpacks to may be larger than the memory."""
    with _archive(path) as archive:
        for block in _blocks(archive, name):
            yield from block


class _Contents(io.FileIO):
    """A file that gives `zipfile` no longer list of contents than an npz file has: all of it becomes objects."""

    checked = False

    def read(self, size: int | None = -1) -> bytes:
        if not self.checked and (size or 0) > _CONTENTS_BYTES:
            raise ValueError("it has far more parts than an npz file")
        return super().read(size)


@contextlib.contextmanager
def _archive(path):
    """An npz file. Whatever goes wrong while it is read is the file's fault, and becomes an `InputError`."""
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
    """(shape, whether in Fortran's order, dtype) of an array, and the stream where its data begin."""
    if archive.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its array {name!r} is compressed in another way than numpy does it")  # and without bounds
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # later ones are for records alone, and their headers may be gigabytes
            raise ValueError(f"an array of format version {version}, where numbers have (1, 0)")
        try:
            with warnings.catch_warnings(action="ignore"):  # of headers that were written long ago
                shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        except Exception as error:  # numpy's words repeat the header, and recommend to unpickle what it holds
            raise ValueError(f"its array {name!r} has a header that describes no array") from error
        if len(shape) > 8 or max(shape, default=0) > _WHOLE_BYTES**2:
            raise ValueError(f"its array {name!r} has a shape that no array has")
        if dtype.hasobject:
            raise ValueError("it holds pickled Python objects, which are never loaded: they may run programs")
        yield (shape, by_columns, dtype), stream


def _header(archive, name):
    """(shape, whether in Fortran's order, dtype) of an array, of which nothing is read."""
    with _array(archive, name) as (header, _):
        return header


def _blocks(archive, name):
    """Yields an array in parts (m, ...) of about `_BLOCK_BYTES`, at least one row each."""
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
