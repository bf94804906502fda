"""The sizes, the variables' shapes and the preprocessing of a `CNN`, without importing JAX."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import MAX_CLASSES, InputError, check_image_shape, whole_number

MAX_WIDTH = 1 << 14
PREPROCESSING = {"scale": 1 / 127.5, "offset": -1.0}
"""The scaling of pixels by `normalise`. A model file keeps the values that its weights were trained with."""
EPSILON = 1e-5
"""BatchNorm adds it to the variance."""
POOLED = (1, 3)
"""Indices of the convolutions that are followed by 2x2 max pooling, where there is more than one row and column."""


class ArrayShape(NamedTuple):
    """Shape and type of an array, without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype = np.dtype(np.float32)


@dataclass(frozen=True)
class Architecture:
    """The arguments of a `CNN`, which describes them. Raises `InputError` for values that a `CNN` cannot have."""

    num_classes: int
    features: tuple[int, ...] = (32, 64, 64, 128, 128)
    dense: int = 128
    patch: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.features, (tuple, list)) or len(self.features) != 5:
            raise InputError(f"features must be five widths, one per convolution, got {self.features!r}")
        checked = {
            "num_classes": whole_number("num_classes", self.num_classes, 2, MAX_CLASSES),
            "features": tuple(whole_number("features", channels, 1, MAX_WIDTH) for channels in self.features),
            "dense": whole_number("dense", self.dense, 1, MAX_WIDTH),
            "patch": whole_number("patch", self.patch, 1, MAX_WIDTH),
        }
        vars(self).update(checked)  # past the frozen attributes

    def variable_shapes(self, image_shape: Sequence[int]) -> dict[str, Any]:
        """The variables for images (h, w, c) as a tree of `ArrayShape`s: the same as `CNN.variable_shapes` gives."""
        *_, channels = check_image_shape(image_shape)
        before, params, stats = channels * self.patch**2, {}, {}

        def batch_norm(layer, width):
            vector = ArrayShape((width,))
            params[f"BatchNorm_{layer}"] = {"scale": vector, "bias": vector}
            stats[f"BatchNorm_{layer}"] = {"mean": vector, "var": vector}

        for layer, after in enumerate(self.features):
            params[f"Conv_{layer}"] = {"kernel": ArrayShape((3, 3, before, after))}
            batch_norm(layer, after)
            before = after
        params["Dense_0"] = {"kernel": ArrayShape((self._cells(image_shape)[-1] * before, self.dense))}
        batch_norm(len(self.features), self.dense)
        last = ArrayShape((self.dense, self.num_classes)), ArrayShape((self.num_classes,))
        params["Dense_1"] = dict(zip(("kernel", "bias"), last, strict=True))
        return {"params": params, "batch_stats": stats}

    def activations(self, image_shape: Sequence[int]) -> int:
        """Number of activations of all convolutions for one image (h, w, c)."""
        return sum(map(operator.mul, self._cells(image_shape), self.features))

    def _cells(self, image_shape):
        """(rows, columns) of each convolution's output, and of the input of the first dense layer."""
        height, width, _ = check_image_shape(image_shape)
        rows, columns, cells = -(-height // self.patch), -(-width // self.patch), []
        for layer in range(len(self.features)):
            cells.append(rows * columns)
            if layer in POOLED and min(rows, columns) > 1:
                rows, columns = -(-rows // 2), -(-columns // 2)
        return [*cells, rows * columns]
