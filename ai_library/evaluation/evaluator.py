"""`evaluate` predicts a split of a data source and returns the `Report`."""

from typing import TYPE_CHECKING

import numpy as np

from ..data.class_names import nfc
from ..errors import InputError, whole_number
from ..files.text import listed
from ..runtime import display
from ..runtime.distributed import all_gather, shard
from .report import Report

if TYPE_CHECKING:
    from ..data.source import DataSource
    from ..networks.classifier import Classifier


def evaluate(
    classifier: "Classifier",
    source: "DataSource",
    split: str = "evaluation",
    batch_size: int = 128,
    *,
    verbose: bool = False,
) -> Report:
    """Predicts every example of a split exactly once.

    Of several processes (see `distributed`) each predicts its own part, and all return the same report.

    >>> report = evaluate(classifier, source)
    >>> report.n, report.class_names
    (32, ('circle', 'star'))

    Args:
        classifier: A `Classifier` for the classes and the image shape of `source`.
        source: The data source, such as a `ShapeDataSource`.
        split: A split of the source, such as "evaluation".
        batch_size: Number of images taken from the source at a time; the report does not depend on it.
        verbose: Whether to show progress.

    Returns:
        The `Report` of all examples, in the order of the split.

    Raises:
        InputError: The classifier has other classes or another image shape than the source, or an argument is out of
            its range.
    """
    check_same_classes(classifier, source)
    batch_size = whole_number("batch_size", batch_size, 1, 2**31)
    own = shard(source.size(split), classifier.block)
    own_labels = [np.zeros(0, np.int32)]

    def images():
        for start in range(own.start, own.stop, batch_size):
            batch, batch_labels = source.examples(split, range(start, min(start + batch_size, own.stop)))
            own_labels.append(batch_labels)
            yield batch

    batches = display.counted(images(), "evaluating", len(own), len) if verbose else images()
    none = np.zeros((0, source.num_classes), np.float32)
    own_logits = np.concatenate([none, *classifier.predict_logits(batches, shared=True)])
    logits, labels = map(np.concatenate, zip(*all_gather([own_logits, np.concatenate(own_labels)]), strict=True))
    groups = source.groups_of(split)
    return Report(classifier.probabilities(logits), labels, source.class_names, classifier.temperature, groups)


def check_same_classes(classifier: "Classifier", source: "DataSource") -> None:
    """Checks that a classifier was made for the classes of a source, in the same order; names are compared as NFC.

    Raises:
        InputError: The two have different classes.
    """
    if [*map(nfc, classifier.class_names)] != [*map(nfc, source.class_names)]:
        raise InputError(
            f"the model was made for the classes {listed(classifier.class_names)}, but the data has "
            f"{listed(source.class_names)}: use a model that was trained on the classes of the data"
        )
