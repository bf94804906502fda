"""Images to predict, with labels if known, from a file, a folder, a table or an npz file."""

import collections
import contextlib
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import MAX_CHANNELS, InputError
from ...files.text import counted, escaped, listed
from ...runtime.agreement import check_alike
from ...runtime.distributed import shard
from ..class_names import nfc
from ..images.decoding import MAX_PIXELS
from ..images.fitting import fit_image
from ..images.reading import read_files
from .file_kinds import folder_passed_over, reasons_told
from .groups import shared_folders
from .image_files import IMAGE_ENDINGS, image_files
from .npz import WHOLE_BYTES, archive_of, blocks, check_size, header, rows
from .opened import is_zip, unpacked_images
from .pixel_table import is_table, read_pixels


class Sample(NamedTuple):
    """An image to predict, or the reason why it cannot be read."""

    name: str
    """The path of the file below the folder, or the index in the npz file."""
    label: int | None
    image: np.ndarray | None
    """(h, w, c) uint8; None if it could not be read."""
    error: str = ""
    remarks: tuple[str, ...] = ()
    """Remarks on the reading: see `ReadFile`."""
    group: str | None = None
    """The group, such as a film, that an image with a label shares with others; None: it is independent."""


class Reader(Protocol):
    """The protocol that `read_samples` needs of a classifier."""

    @property
    def block(self) -> int:
        """Number of images predicted at a time."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels 0, 1, ..."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the images that it takes."""
        ...

    @property
    def content_size(self) -> int | None:
        """How image files are brought to that shape: see `fit_image`."""
        ...


@dataclass(frozen=True)
class Samples(Iterable[Sample]):
    """Images to predict. Every iteration reads them again, one by one."""

    total: int
    """Number of images of this process."""
    read: Callable[[], Iterator[Sample]]
    notes: tuple[str, ...] = ()
    """Sentences on what was guessed about the images, and on the files that were passed over."""

    def __iter__(self) -> Iterator[Sample]:
        return self.read()


def read_samples(path: str | Path, classifier: Reader, *, unlabelled: bool = False, groups: bool = True) -> Samples:
    """Finds the images to predict in a file, a folder, a zip of a folder, a table of pixels, or an npz file.

    A sub-folder with the name of a class is the label of its images; those in one sub-folder of it are a group. See
    `read_pixels` for tables. Class names are compared in Unicode's normal form NFC. If all class names are numbers, but
    not 0, 1, ... in this order, the labels of an npz file are taken as these names, and a note says so.

    Files are read in threads, a few ahead. Of several processes (see `distributed`) each gets its part, in order. All
    must find the same images, by the names and sizes of files, or the headers of an npz file.

    Args:
        path: The file or folder.
        classifier: The classifier that will predict them. Its `class_names`, `image_shape` and `content_size` define
            labels and images; processes divide the images in units of its `block`.
        unlabelled: Whether to ignore all labels.
        groups: Whether images in one sub-folder of a class are a group, as in `find_layout`, and those of an npz file
            that have one number in its array `groups`.

    Raises:
        InputError: There is nothing to predict, a label is not a class, or another process has other images.
    """
    path = Path(path)
    alike = {"unlabelled": unlabelled, "groups": groups, **_read_for(classifier)}
    check_alike(lambda: {"data": _listed(path), **alike})
    if os.path.isdir(path):
        return _from_folder(path, path, classifier, unlabelled, groups)
    _check_exists(path)
    if is_zip(path) and not _is_npz(path):
        return _from_zip(path, classifier, unlabelled, groups)
    if is_table(path):
        return _from_table(path, classifier, unlabelled)
    if _is_npz(path):
        return _from_arrays(path, classifier, unlabelled, groups)
    own = len(shard(1, classifier.block))
    return Samples(own, lambda: _read([path] * own, [(path.name, None, None)] * own, classifier))


def _read_for(classifier):
    """The properties of a classifier on which the reading depends."""
    names = ("class_names", "image_shape", "content_size")
    return {"model": {name: getattr(classifier, name) for name in names}}


def _check_exists(path):
    if not os.path.exists(path):
        raise InputError(
            f"{path} does not exist: name an image, a folder of images, a zip of one, a CSV of pixels, or an .npz file"
        )


def _is_npz(path):
    return path.suffix.lower() == ".npz" and path.is_file()


def _listed(path):
    """Identifies the images of a path without reading them, so that processes can compare them."""
    _check_exists(path)
    digest, folder = hashlib.sha256(), os.path.isdir(path)
    if not folder and _is_npz(path):
        with archive_of(path) as archive:
            digest.update(repr([(each.filename, each.CRC, each.file_size) for each in archive.infolist()]).encode())
    for file in image_files(path) if folder else [path]:
        size = -1
        with contextlib.suppress(OSError):  # a link that leads nowhere
            size = file.stat().st_size
        digest.update(f"{file.relative_to(path if folder else path.parent)}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _from_zip(path, classifier, unlabelled, groups):
    unpacked = unpacked_images(path)
    folder = unpacked.folder
    tops = [each for each in folder.iterdir() if each.is_dir() and not folder_passed_over(each.name)]
    if len(tops) == 1 and nfc(tops[0].name) not in _labels_by_name(classifier.class_names):
        folder = tops[0]  # the folder that was packed
    found = _from_folder(folder, path, classifier, unlabelled, groups)

    def read(_unpacked=unpacked):  # held until the last file is read
        yield from found

    return replace(found, read=read)


def _from_table(path, classifier, unlabelled):
    table, known = read_pixels(path), _labels_by_name(classifier.class_names)
    names = None if unlabelled else table.labels
    if unknown := sorted({name for name in names or () if nfc(name) not in known}):
        raise InputError(
            f"{path} has the label {unknown[0]!r}, but this model's classes are {listed(classifier.class_names)}: use "
            "a model that was trained on these classes, or predict the images without labels by unlabelled=True"
        )
    own = shard(len(table.images), classifier.block)

    def read():
        for i in own:
            image = fit_image(table.images[i], classifier.image_shape, classifier.content_size)
            yield Sample(str(i), known[nfc(names[i])] if names else None, image)

    return Samples(len(own), read)


def _from_folder(folder, given, classifier, unlabelled, groups):
    """Samples of a folder; messages name it as it was `given`."""
    start = len(str(folder / "x")) - 1  # of a path below the folder; `relative_to` is slow

    def below(path):
        return str(path)[start:]

    passed_over = collections.Counter()
    folders = collections.Counter(os.path.dirname(below(path)) for path in image_files(folder, passed_over))
    left_out = f"passed over: {reasons_told(passed_over)}" if passed_over else ""
    if not folders:
        raise InputError(
            f"{given} holds no images{f' ({left_out})' if left_out else ''}: a folder, or a zip of one, needs files "
            f"that end in {', '.join(IMAGE_ENDINGS)}"
        )
    by_name, tops = _labels_by_name(classifier.class_names), {place.partition(os.sep)[0] for place in folders}
    unknown = sorted(name for name in tops if name and nfc(name) not in by_name)
    if unknown and not unlabelled:
        known = len(tops) > len(unknown) + ("" in tops)
        raise InputError(
            f"{given} has the sub-folder {unknown[0]!r}, but this model's classes are "
            f"{listed(classifier.class_names)}: {'rename it' if known else 'rename its sub-folders'}, use a model that "
            "was trained on these classes, or predict the images without labels by unlabelled=True"
        )
    labels = {name: by_name.get(name, by_name[nfc(name)]) for name in tops if name} if not unlabelled else {}
    group_of, ungrouped = _groups(folders) if groups and not unlabelled else ({}, ())
    own = shard(folders.total(), classifier.block)

    def named(path):
        place = os.path.dirname(below(path))
        return below(path), labels.get(place.partition(os.sep)[0]), group_of.get(place)

    def read():
        paths, again = itertools.tee(itertools.islice(image_files(folder), own.start, own.stop))
        return _read(paths, map(named, again), classifier)

    notes = [*([left_out] if left_out else []), *ungrouped]
    if count := len(set(group_of.values())):
        notes.append(
            f"{counted(count, 'sub-folder')} of classes: the images of each are a group, and intervals account for it"
        )
    return Samples(len(own), read, tuple(notes))


def _groups(folders):
    """The group of each folder's images, as `find_layout` has it, and notes. Folders without a group are left out."""
    parts = {place: nfc(place).split(os.sep) for place in folders if place}
    of_class = collections.defaultdict(list)
    for top, *below in parts.values():
        of_class[top].append(tuple(below))
    shared, notes = shared_folders(of_class)
    ends = {place: 2 + len(shared[names[0]]) for place, names in parts.items()}
    return {
        place: os.sep.join(names[: ends[place]]) for place, names in parts.items() if len(names) >= ends[place]
    }, notes


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64] | None:
    """The groups (n,) of images as numbers, for a `Report`. None if no image has a group.

    An image whose group is None counts as a group of its own.
    """
    if not any(group is not None for group in groups):
        return None
    numbers: dict[Hashable, int] = {}
    keys = ((index, "alone") if group is None else group for index, group in enumerate(groups))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _labels_by_name(class_names):
    """The labels by class name, and by its normal form NFC."""
    labels = {name: label for label, name in enumerate(class_names)}
    return {**{nfc(name): label for name, label in labels.items()}, **labels}


def _read(paths, named, classifier):
    """Reads files, each with a name, a label and a group."""
    found = read_files(paths, classifier.image_shape, classifier.content_size)
    for read, (name, label, group) in zip(found, named, strict=True):
        yield Sample(name, label, read.image, read.error, read.remarks, group)


def _from_arrays(path, classifier, unlabelled, groups):
    with archive_of(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "images" not in names:
            raise InputError(
                f"{path} has no array 'images'{f', but {_named(names)}' if names else ''}: save it by "
                "np.savez(file, images=..., labels=...)"
            )
        shape, by_columns, dtype = header(archive, "images")
        _check_images(path, shape, by_columns, dtype)
        labelled = "labels" in names and not unlabelled
        grouped = labelled and groups and "groups" in names
        for name in ["labels"] * labelled + ["groups"] * grouped:
            _check_numbers(path, archive, name, shape[0])
        check_size(archive, "images", shape, dtype)
        by_label, notes = _labels_of(path, archive, classifier.class_names) if labelled else ({}, ())
    if grouped:
        notes += (f"images of one number in the array 'groups' of {path} are a group, and intervals account for it",)
    if unread := sorted(set(names) - {"images", "labels", "groups"}):
        notes += (f"of {path}, only arrays named images, labels and groups are read, not {_named(unread)}",)
    own = shard(shape[0], classifier.block)

    def read():
        labels = rows(path, "labels") if labelled else itertools.repeat(None)
        numbers = rows(path, "groups") if grouped else itertools.repeat(None)
        found = enumerate(zip(rows(path, "images"), labels, numbers, strict=False))
        for i, (image, label, group) in itertools.islice(found, own.start, own.stop):
            fitted = fit_image(image, classifier.image_shape, classifier.content_size)
            label = None if label is None else by_label[int(label)]
            yield Sample(str(i), label, fitted, group=None if group is None else str(group))

    return Samples(len(own), read, notes)


def _named(arrays):
    return listed([escaped(name) for name in arrays], 5)


def _check_numbers(path, archive, name, count):
    """Checks that an array has one integer for each image."""
    shape, _, dtype = header(archive, name)
    if shape != (count,) or dtype.kind not in "iu":
        raise InputError(f"{path} must have {name} of integers of shape ({count},), got {dtype} {shape}")
    check_size(archive, name, shape, dtype)


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
    if by_columns and math.prod(shape) > WHOLE_BYTES:
        raise InputError(
            f"{path} has {math.prod(shape):,} bytes of images in Fortran's order, of which {WHOLE_BYTES:,} are the "
            "most: save them by np.ascontiguousarray(images)"
        )


def _labels_of(path, archive, class_names):
    """Returns {label: class index} for an npz file, and a note if the labels may also be meant otherwise."""
    numbers = {i: i for i in range(len(class_names))}
    names = {int(name): i for i, name in enumerate(class_names) if name.isascii() and name.isdecimal()}
    named = len(names) == len(class_names) and names != numbers
    lowest, highest, all_named = 2**63, -(2**63), named
    for labels in blocks(archive, "labels"):
        lowest, highest = min(lowest, int(labels.min())), max(highest, int(labels.max()))
        all_named = all_named and set(np.unique(labels).tolist()) <= names.keys()
    if all_named:
        return names, (f"the labels in {path} are taken for the names of classes, not for their numbers from 0 on",)
    if not 0 <= lowest <= highest < len(class_names):
        raise InputError(
            f"{path} has labels from {lowest} to {highest}, but this model's classes are 0 to {len(class_names) - 1} "
            f"({listed(class_names)}): use a model that was trained on these classes, or predict the images without "
            "labels by unlabelled=True"
        )
    if named:
        return numbers, (f"the labels in {path} are taken for the numbers of classes from 0 on, not for their names",)
    return numbers, ()
