"""The weights of the classes in the loss."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.source import DataSource
from ..errors import InputError


def class_weights(
    wanted: Sequence[float] | Literal["balanced"] | None, source: DataSource
) -> Sequence[float] | NDArray[np.float64] | None:
    """The weights that `TrainConfig.class_weights` asks for, one for each class; "balanced" ones from training labels.

    Raises `InputError` where these are asked for, and a class has no training image.
    """
    if wanted != "balanced":
        return wanted
    classes = source.num_classes
    counts = np.zeros(classes, np.int64)
    for _, labels in source.batches("train", 1024):
        counts += np.bincount(labels, minlength=classes)
    if not counts.all():
        missing = source.class_names[int(counts.argmin())]
        raise InputError(f"class_weights='balanced' needs training images of every class, and {missing!r} has none")
    return counts.sum() / (classes * counts)
