"""Predicts images from files and writes what came out: one row an image, and metrics where labels are known."""

import collections
import contextlib
import csv
import heapq
import io
import itertools
import math
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.image_files import IMAGE_ENDINGS, MAX_PIXELS, fit_image, image_files, read_image
from ..errors import InputError
from ..evaluation.report import Report
from ..files.atomic import replacing, write_bytes
from ..files.text import escaped
from ..networks.classifier import Classifier
from ..runtime.distributed import gathered, is_first, process_count, process_index, share
from .findings import HARDEST, Example, Findings
from .page import write_findings

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


def read_samples(path, classifier: Classifier) -> Iterator[Sample]:
    """The images of a file, of a folder whose sub-folders are named like classes, or of an npz file, one by one; of
    several processes (see `distributed`) each gets its share of them, in the order of the processes.

    Raises `InputError` at once where there is nothing to predict, or where labels are none of the classifier's.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _from_folder(path, classifier)
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist: name an image, a folder of images or an .npz file")
    if path.suffix.lower() == ".npz" and path.is_file():
        return _from_arrays(path, classifier)
    return (_read(path, path.name, None, classifier) for _ in share(1, classifier.BLOCK))


def predict_samples(classifier: Classifier, samples: Iterable[Sample], output, command: str = "") -> Findings:
    """Writes `predictions.csv` and `report.html` into the folder `output`, and, where any image has a label,
    `metrics.json` and `confusion_matrix.png`. Holds a few blocks of images at a time, the hardest ones, and the
    probabilities of those with a label. `command` is what the page says it was made by.

    Of several processes each predicts samples of its own and writes their rows beside `predictions.csv`, which the
    first puts together from them: the folder has to be the same for all. All return the findings on all images.
    """
    output, names = Path(output), classifier.class_names
    images, unreadable, labels, probabilities, hardest = 0, 0, [], [np.zeros((0, len(names)))], []
    with replacing(_part(output, process_index())) as file:
        table = csv.writer(file, lineterminator="\n")
        if is_first():
            table.writerow(["file", "label", "prediction", "confidence", *map(_cell, names), "error"])
        for block, predicted in _predicted(classifier, samples):
            readable = [sample for sample in block if sample.image is not None]
            rows = iter(predicted)
            for sample in block:
                table.writerow(_row(sample, None if sample.image is None else next(rows), names))
            labelled = [row for row, sample in enumerate(readable) if sample.label is not None]
            labels += [readable[row].label for row in labelled]
            probabilities.append(predicted[labelled])
            examples = [_example(readable[row], predicted[row], names) for row in labelled]
            hardest = heapq.nlargest(HARDEST, [*hardest, *examples], key=lambda example: example.loss)
            images, unreadable = images + len(block), unreadable + len(block) - len(readable)
    hardest = [[os.fsencode(name), *rest] for name, *rest in hardest]  # a name may be no text that can be sent
    own = [images, unreadable, np.array(labels, np.int64), np.concatenate(probabilities), hardest]
    images, unreadable, labels, probabilities, hardest = zip(*gathered(own), strict=True)
    labels = np.concatenate(labels)
    known = (np.concatenate(probabilities), labels, names, classifier.temperature) if len(labels) else None
    report = Report(*known) if known else None
    hardest = [Example(os.fsdecode(name), *rest) for name, *rest in itertools.chain(*hardest)]
    findings = Findings(
        classifier=classifier,
        images=sum(images),
        unreadable=sum(unreadable),
        report=report,
        hardest=heapq.nlargest(HARDEST, hardest, key=lambda example: example.loss),
        command=command,
    )
    if is_first():
        _write(findings, output)
    return findings


def _part(output, process):
    """Where a process writes its rows."""
    return output / ("predictions.csv" if process_count() == 1 else f"predictions.{process}-of-{process_count()}.csv")


def _write(findings, output):
    """What is written once all parts of `predictions.csv` are."""
    report, confusion = findings.report, output / "confusion_matrix.png"
    if process_count() > 1:
        parts = [_part(output, process) for process in range(process_count())]
        if missing := [part for part in parts if not part.exists()]:
            raise InputError(f"{missing[0]} is not there: all processes need one output folder, which they share")
        with replacing(output / "predictions.csv", "wb") as file:
            for part in parts:
                with open(part, "rb") as rows:
                    shutil.copyfileobj(rows, file)
        for part in parts:
            part.unlink()
    if report:
        picture = io.BytesIO()
        report.confusion_figure().savefig(picture, format="png", dpi=120)
        write_bytes(confusion, picture.getvalue())
    else:  # an earlier run's would speak of other images
        confusion.unlink(missing_ok=True)
    write_findings(findings, output)


def _example(sample, probabilities, class_names):
    """Its image is a copy: the sample's may be a part of a large block, which it would keep in the memory."""
    best, true = int(np.argmax(probabilities)), probabilities[sample.label]
    loss = -math.log(max(true, np.finfo(float).eps))  # as `Report.losses` has it
    return Example(
        sample.name, sample.image.copy(), class_names[sample.label], class_names[best], float(probabilities[best]), loss
    )


def _predicted(classifier, samples):
    """Yields all samples in blocks, each with the probabilities (n, classes) float64 of those that have an image."""
    waiting = collections.deque()

    def images():
        for sample in samples:
            waiting.append(sample)
            if sample.image is not None:
                yield sample.image[np.newaxis]

    for logits in classifier.predict_logits(images(), shared=True):
        block, readable = [], 0
        while readable < len(logits):
            block.append(waiting.popleft())
            readable += block[-1].image is not None
        yield block, classifier.probabilities(logits)
    yield waiting, np.zeros((0, len(classifier.class_names)))  # unreadable ones after the last image


def _row(sample, probabilities, class_names):
    """A row of `predictions.csv`."""
    name, label = _cell(sample.name), "" if sample.label is None else _cell(class_names[sample.label])
    if probabilities is None:
        return [name, label, "", "", *[""] * len(class_names), _cell(sample.error)]
    best = int(np.argmax(probabilities))
    return [name, label, _cell(class_names[best]), *(f"{p:.6f}" for p in (probabilities[best], *probabilities)), ""]


def _cell(text):
    """Text for a cell of a table that every reader takes for one cell, and no spreadsheet for a formula.

    What isn't printable becomes an escape; an apostrophe goes before what would be calculated, which may run programs
    (owasp.org, "CSV Injection").
    """
    text = escaped(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


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
    own = share(found.total(), classifier.BLOCK)
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
                    f"{path} has labels {labels_shape} of {labels_dtype}: they need to be ({shape[0]},) of integers"
                )
            labels = np.concatenate(list(_blocks(archive, "labels")))
            _check_labels(path, labels, classifier.class_names)
    own = share(shape[0], classifier.BLOCK)
    return (
        Sample(
            str(i),
            None if labels is None else int(labels[i]),
            fit_image(image, classifier.image_shape, classifier.content_size),
        )
        for i, image in itertools.islice(enumerate(_images(path)), own.start, own.stop)
    )


def _check_images(path, shape, by_columns, dtype):
    if dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise InputError(
            f"{path} has images of shape {shape} and type {dtype}: "
            "they need to be (n, h, w), (n, h, w, 1) or (n, h, w, 3) of uint8"
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
