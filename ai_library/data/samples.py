"""Images to predict, with their labels where these are known, out of a file, a folder or an npz file."""

import collections
import contextlib
import hashlib
import itertools
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from ..errors import MAX_CHANNELS, InputError
from ..runtime.agreement import check_alike
from ..runtime.distributed import shard
from .image_files import IMAGE_ENDINGS, MAX_PIXELS, fit_image, image_files, read_image

_BLOCK_BYTES = 16_000_000  # of the arrays in an npz file, read at a time
_WHOLE_BYTES = 1_000_000_000  # the most of an array in Fortran's order, which can only be read whole


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
    if unknown := sorted(found.keys() - labels.keys() - {""}):
        raise InputError(
            f"{folder} has the sub-folder {unknown[0]!r}, but this model's classes are "
            f"{', '.join(classifier.class_names)}: rename it, or use a model that was trained on these classes"
        )
    own = shard(found.total(), classifier.BLOCK)
    return (
        _read(path, str(path.relative_to(folder)), labels.get(_sub_folder(path, folder)), classifier)
        for path in itertools.islice(image_files(folder), own.start, own.stop)
    )


def _sub_folder(path, folder):
    """The first folder on the way from `folder` to a file; "" for a file that lies directly in it."""
    return "" if path.parent == folder else path.relative_to(folder).parts[0]


def _read(path, name, label, classifier):
    try:
        return Sample(name, label, read_image(path, classifier.image_shape, classifier.content_size))
    except InputError as error:
        return Sample(name, label, None, str(error))


def _from_arrays(path, classifier):
    labels = None
    with _archive(path) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise InputError(f"{path} has no array 'images': save it by np.savez(file, images=..., labels=...)")
        shape, by_columns, dtype = _header(archive, "images")
        _check_images(path, shape, by_columns, dtype)
        if "labels.npy" in names:
            labels_shape, _, labels_dtype = _header(archive, "labels")
            if labels_shape != shape[:1] or labels_dtype.kind not in "iu":
                raise InputError(
                    f"{path} must have labels of integers of shape ({shape[0]},), got {labels_dtype} {labels_shape}"
                )
            labels = np.concatenate(list(_blocks(archive, "labels")))
            _check_labels(path, labels, classifier.class_names)
    own = shard(shape[0], classifier.BLOCK)
    return (
        Sample(
            str(i),
            None if labels is None else int(labels[i]),
            fit_image(image, classifier.image_shape, classifier.content_size),
        )
        for i, image in itertools.islice(enumerate(_images(path)), own.start, own.stop)
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
            f"{len(class_names) - 1} ({', '.join(class_names)}): use a model that was trained on these classes"
        )


def _images(path):
    """The images of an npz file one by one; what it unpacks to may be larger than the memory."""
    with _archive(path) as archive:
        for block in _blocks(archive, "images"):
            yield from block


@contextlib.contextmanager
def _archive(path):
    """An npz file. Whatever goes wrong while it is read is the file's fault, and becomes an `InputError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except Exception as error:  # zipfile raises nearly anything: BadZipFile, zlib.error, struct.error, RuntimeError
        raise InputError(f"{path} cannot be read as .npz: {str(error) or type(error).__name__}") from error


def _header(archive, name):
    """(shape, whether in Fortran's order, dtype) of an array, of which nothing is read."""
    with archive.open(f"{name}.npy") as stream:
        return _read_header(stream)


def _read_header(stream):
    """The same, from a stream at its beginning, which is then where the data begin."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):  # later ones are for records alone, and their headers may be gigabytes
        raise ValueError(f"an array of format version {version}, where numbers have (1, 0)")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded: they may run programs")
    return shape, by_columns, dtype


def _blocks(archive, name):
    """Yields an array in parts (m, ...) of about `_BLOCK_BYTES`, at least one row each."""
    with archive.open(f"{name}.npy") as stream:
        (n, *row), by_columns, dtype = _read_header(stream)
        rows = n if by_columns else max(1, _BLOCK_BYTES // (dtype.itemsize * math.prod(row)))
        for start in range(0, n, rows):
            shape = min(rows, n - start), *row
            size = dtype.itemsize * math.prod(shape)
            data = stream.read(size)
            if len(data) < size:
                raise EOFError(f"its array {name!r} ends too early")
            yield np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
