"""Predicts images from files and writes what came out: one row an image, and metrics where labels are known."""

import csv
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .atomic import replacing, write_bytes
from .classifier import Classifier
from .errors import InputError
from .evaluation import Report
from .images import IMAGE_ENDINGS, fit_image, image_files, read_image
from .report_page import report_page


class Sample(NamedTuple):
    """An image to predict, or why it can't be."""

    name: str
    """The file's path below its folder, or the index in its npz file."""
    label: int | None
    image: np.ndarray | None
    """(h, w, c) uint8; None where it could not be read."""
    error: str = ""


class Outcome(NamedTuple):
    """What `predict_samples` met."""

    images: int
    unreadable: int
    report: Report | None
    """On the readable images with a label; None where there is none."""


def read_samples(path, classifier: Classifier) -> Iterator[Sample]:
    """The images of a file, of a folder whose sub-folders are named like classes, or of an npz file, one by one.

    Raises `InputError` at once where there is nothing to predict, or where labels are none of the classifier's.
    """
    path = Path(path)
    if path.is_dir():
        return _from_folder(path, classifier)
    if not path.exists():
        raise InputError(f"{path} does not exist: name an image, a folder of images or an .npz file")
    if path.suffix == ".npz":
        return _from_arrays(path, classifier)
    return iter([_read(path, path.name, None, classifier)])


def predict_samples(classifier: Classifier, samples: Iterable[Sample], output) -> Outcome:
    """Writes `predictions.csv` and `report.html` into the folder `output`, and, where any image has a label,
    `metrics.json` and `confusion_matrix.png`. Holds a block of images at a time.
    """
    output, names, samples = Path(output), classifier.class_names, iter(samples)
    images, unreadable, labels, probabilities = 0, 0, [], []
    with replacing(output / "predictions.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "label", "prediction", "confidence", *names, "error"])
        while block := list(itertools.islice(samples, classifier.BLOCK)):
            readable = [sample.image for sample in block if sample.image is not None]
            predicted = iter(classifier.predict_proba(np.stack(readable)) if readable else ())
            for sample in block:
                row = None if sample.image is None else next(predicted)
                table.writerow(_row(sample, row, names))
                if row is not None and sample.label is not None:
                    labels.append(sample.label)
                    probabilities.append(row)
            images, unreadable = images + len(block), unreadable + len(block) - len(readable)
    report = Report(np.array(probabilities), np.array(labels), names) if labels else None
    outcome = Outcome(images, unreadable, report)
    _write_summary(outcome, output)
    return outcome


def _row(sample, probabilities, class_names):
    """A row of `predictions.csv`."""
    label = "" if sample.label is None else class_names[sample.label]
    if probabilities is None:
        return [sample.name, label, "", "", *[""] * len(class_names), sample.error]
    best = int(np.argmax(probabilities))
    return [sample.name, label, class_names[best], *(f"{p:.6f}" for p in (probabilities[best], *probabilities)), ""]


def _write_summary(outcome, output):
    confusion = None
    if outcome.report:
        picture = io.BytesIO()
        outcome.report.confusion_figure().savefig(picture, format="png", dpi=120)
        confusion = picture.getvalue()
        write_bytes(output / "confusion_matrix.png", confusion)
        write_bytes(output / "metrics.json", json.dumps(outcome.report.metrics(), indent=1).encode())
    else:  # an earlier run's would speak of other images
        (output / "confusion_matrix.png").unlink(missing_ok=True)
        (output / "metrics.json").unlink(missing_ok=True)
    write_bytes(output / "report.html", report_page(outcome, confusion).encode())


def _from_folder(folder, classifier):
    files = image_files(folder)
    if not files:
        raise InputError(f"{folder} holds no images: it needs files that end in {', '.join(IMAGE_ENDINGS)}")
    labels = {name: label for label, name in enumerate(classifier.class_names)}
    folders = {path.relative_to(folder).parts[0] for path in files if path.parent != folder}
    if unknown := sorted(folders - labels.keys()):
        raise InputError(
            f"{folder} has the sub-folder {unknown[0]!r}, but this model's classes are "
            f"{', '.join(classifier.class_names)}: rename it, or use a model that was trained on these classes"
        )
    for_label = {path: labels.get(path.relative_to(folder).parts[0]) for path in files}
    return (_read(path, str(path.relative_to(folder)), label, classifier) for path, label in for_label.items())


def _read(path, name, label, classifier):
    try:
        return Sample(name, label, read_image(path, classifier.image_shape, classifier.content_size))
    except InputError as error:
        return Sample(name, label, None, str(error))


def _from_arrays(path, classifier):
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("images", "labels") if name in archive}
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as .npz: {error}") from error
    if "images" not in arrays:
        raise InputError(f"{path} has no array 'images': save it by np.savez(file, images=..., labels=...)")
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise InputError(
            f"{path} has images of shape {images.shape} and type {images.dtype}: "
            "they need to be (n, h, w), (n, h, w, 1) or (n, h, w, 3) of uint8"
        )
    if 0 in images.shape:
        raise InputError(f"{path} holds no images: their shape is {images.shape}")
    if labels is not None:
        _check_labels(path, labels, len(images), classifier.class_names)
    return (
        Sample(
            str(i),
            None if labels is None else int(labels[i]),
            fit_image(image, classifier.image_shape, classifier.content_size),
        )
        for i, image in enumerate(images)
    )


def _check_labels(path, labels, n, class_names):
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path} has labels {labels.shape} of {labels.dtype}: they need to be ({n},) of integers")
    if not 0 <= labels.min() <= labels.max() < len(class_names):
        raise InputError(
            f"{path} has labels from {labels.min()} to {labels.max()}, but this model's classes are 0 to "
            f"{len(class_names) - 1} ({', '.join(class_names)}): use a model that was trained on these classes"
        )
