"""A `CNN` in numpy: it predicts a few images in less time than JAX takes to start."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.threads import map_in_threads
from .architecture import EPSILON, POOLED, PREPROCESSING, Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray


_VALUES = 2**14
"""Most values of the images that a thread computes together, so that they stay in a core's cache."""


@np.errstate(all="ignore")
def logits_by_numpy(architecture: Architecture, variables: dict[str, Any], images: np.ndarray) -> "NDArray[np.float32]":
    """Logits (n, num_classes) float32 of images (n, h, w, c) uint8, for n from 1; those of `CNN` within rounding.

    BatchNorm uses the running statistics. Each matrix product takes one image, so that its logits never depend on the
    other images. Small images are computed in threads, one per core. Weights that are too large give nan or infinity
    without a warning, as in `CNN`.
    """
    params, statistics, patch = variables["params"], variables["batch_stats"], architecture.patch
    norms = [_affine(params[name], statistics[name]) for name in map("BatchNorm_{}".format, range(6))]
    # Copies: those of a file lie at any byte, and numpy would copy them again for each image.
    kernels = [np.array(params[f"Conv_{layer}"]["kernel"]) for layer in range(5)]
    dense, last = ({name: np.array(leaf) for name, leaf in params[f"Dense_{i}"].items()} for i in (0, 1))

    @np.errstate(all="ignore")  # threads do not inherit it
    def forward(images):
        x = _space_to_depth(images * np.float32(PREPROCESSING["scale"]) + np.float32(PREPROCESSING["offset"]), patch)
        for layer, kernel in enumerate(kernels):
            x = _convolve(x, kernel)
            if layer in POOLED and min(x.shape[1:3]) > 1:
                x = _max_pool(x)
            x = _normalise_and_rectify(x, *norms[layer])
        x = _normalise_and_rectify(x.reshape(len(x), 1, -1) @ dense["kernel"], *norms[5])
        return (x @ last["kernel"] + last["bias"]).squeeze(1)

    together = max(1, _VALUES // math.prod(images.shape[1:]))
    parts = [images[start : start + together] for start in range(0, len(images), together)]
    alone = together == 1 or len(parts) == 1  # large images would take much memory at once
    return np.concatenate(list(map(forward, parts) if alone else map_in_threads(forward, parts)))


def _affine(params, statistics):
    """BatchNorm by running statistics as slope and offset, (channels,) float32 each."""
    slope = np.asarray(params["scale"], np.float64) / np.sqrt(np.asarray(statistics["var"], np.float64) + EPSILON)
    offset = np.asarray(params["bias"], np.float64) - np.asarray(statistics["mean"], np.float64) * slope
    return slope.astype(np.float32), offset.astype(np.float32)


def _normalise_and_rectify(x, slope, offset):
    x = x * slope
    x += offset
    return np.maximum(x, 0, out=x)


def _space_to_depth(images, patch):
    """(n, h, w, c) -> (n, h / patch, w / patch, patch * patch * c), padded with zeros where it does not divide."""
    n, h, w, c = images.shape
    rows, columns = -(-h // patch), -(-w // patch)
    if h % patch or w % patch:
        images = np.pad(images, ((0, 0), (0, rows * patch - h), (0, columns * patch - w), (0, 0)))
    x = images.reshape(n, rows, patch, columns, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows, columns, patch * patch * c)


def _convolve(x, kernel):
    """Convolves (n, h, w, c) with a kernel (3, 3, c, features), zero padding, to (n, h, w, features).

    One matrix product for each of the kernel's three rows takes a third of the memory of one for all nine cells, and is
    faster.
    """
    n, h, w, c = x.shape
    neighbours = np.zeros((n, h + 2, w, 3, c), np.float32)
    neighbours[:, 1:-1, 1:, 0] = x[:, :, :-1]
    neighbours[:, 1:-1, :, 1] = x
    neighbours[:, 1:-1, :-1, 2] = x[:, :, 1:]
    neighbours, (above, here, below) = neighbours.reshape(n, -1, 3 * c), kernel.reshape(3, 3 * c, -1)
    result = neighbours[:, : h * w] @ above
    result += neighbours[:, w:-w] @ here
    result += neighbours[:, 2 * w :] @ below
    return result.reshape(n, h, w, -1)


def _max_pool(x):
    """2x2 max pooling of (n, h, w, c), stride 2; an odd last row or column is pooled by itself."""
    _, h, w, _ = x.shape
    if h % 2 or w % 2:
        x = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), constant_values=-np.inf)
    rows = np.maximum(x[:, 0::2], x[:, 1::2])
    return np.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
