"""The check of a batch before a training step."""

from typing import Any

import numpy as np

from ..errors import InputError


def check_batch(images: Any, labels: Any, classes: int) -> None:
    """Raises `InputError` unless images are uint8 (b, h, w, c) and labels are integers (b,).

    The values of labels in a numpy array must be from 0 to `classes` - 1; those on a device are not read.
    """
    if _type_and_dimensions(images) != (np.uint8, 4):
        raise InputError(f"images must be an array of uint8 (b, h, w, c), got {_described(images)}")
    dtype, _ = _type_and_dimensions(labels)
    if not np.issubdtype(dtype, np.integer) or labels.shape != images.shape[:1]:
        raise InputError(
            f"labels must be an array of integers ({images.shape[0]},), one for each image, got {_described(labels)}"
        )
    if isinstance(labels, np.ndarray) and len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def _type_and_dimensions(array):
    return getattr(array, "dtype", None), getattr(array, "ndim", None)


def _described(array):
    return f"{array.dtype}{tuple(array.shape)}" if hasattr(array, "shape") else f"a {type(array).__name__}"
