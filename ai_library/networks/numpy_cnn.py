"""A `CNN` in numpy: it predicts a few images in less time than JAX takes to start."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .architecture import EPSILON, POOLED, PREPROCESSING, Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray


@np.errstate(all="ignore")
def logits_by_numpy(
    architecture: Architecture, variables: dict[str, Any], images: Iterable[np.ndarray]
) -> "NDArray[np.float32]":
    """Logits (n, num_classes) float32 of images (n, h, w, c) uint8, those of `CNN` within rounding.

    BatchNorm uses the running statistics. The images are computed one by one, so that the logits of one never depend on
    the others. Weights that are too large give nan or infinity without a warning, as in `CNN`.
    """
    params, statistics, patch = variables["params"], variables["batch_stats"], architecture.patch
    norms = [_affine(params[name], statistics[name]) for name in map("BatchNorm_{}".format, range(6))]
    # Copies: those of a file lie at any byte, and numpy would copy them again for each image.
    kernels = [np.array(params[f"Conv_{layer}"]["kernel"]) for layer in range(5)]
    dense, last = ({name: np.array(leaf) for name, leaf in params[f"Dense_{i}"].items()} for i in (0, 1))

    def forward(image):
        x = _space_to_depth(image * np.float32(PREPROCESSING["scale"]) + np.float32(PREPROCESSING["offset"]), patch)
        for layer, kernel in enumerate(kernels):
            x = _convolve(x, kernel)
            if layer in POOLED and min(x.shape[:2]) > 1:
                x = _max_pool(x)
            x = _normalise_and_rectify(x, *norms[layer])
        x = _normalise_and_rectify(x.reshape(-1) @ dense["kernel"], *norms[5])
        return x @ last["kernel"] + last["bias"]

    return np.stack([forward(image) for image in images])


def _affine(params, statistics):
    """BatchNorm by running statistics as slope and offset, (channels,) float32 each."""
    slope = np.asarray(params["scale"], np.float64) / np.sqrt(np.asarray(statistics["var"], np.float64) + EPSILON)
    offset = np.asarray(params["bias"], np.float64) - np.asarray(statistics["mean"], np.float64) * slope
    return slope.astype(np.float32), offset.astype(np.float32)


def _normalise_and_rectify(x, slope, offset):
    x = x * slope
    x += offset
    return np.maximum(x, 0, out=x)


def _space_to_depth(image, patch):
    """(h, w, c) -> (h / patch, w / patch, patch * patch * c), padded with zeros where it does not divide."""
    h, w, c = image.shape
    rows, columns = -(-h // patch), -(-w // patch)
    if h % patch or w % patch:
        image = np.pad(image, ((0, rows * patch - h), (0, columns * patch - w), (0, 0)))
    x = image.reshape(rows, patch, columns, patch, c).transpose(0, 2, 1, 3, 4)
    return x.reshape(rows, columns, patch * patch * c)


def _convolve(x, kernel):
    """Convolves (h, w, c) with a kernel (3, 3, c, features), zero padding, to (h, w, features).

    One matrix product for each of the kernel's three rows takes a third of the memory of one for all nine cells, and is
    faster.
    """
    h, w, c = x.shape
    neighbours = np.zeros((h + 2, w, 3, c), np.float32)
    neighbours[1:-1, 1:, 0] = x[:, :-1]
    neighbours[1:-1, :, 1] = x
    neighbours[1:-1, :-1, 2] = x[:, 1:]
    neighbours, (above, here, below) = neighbours.reshape(-1, 3 * c), kernel.reshape(3, 3 * c, -1)
    result = neighbours[: h * w] @ above
    result += neighbours[w:-w] @ here
    result += neighbours[2 * w :] @ below
    return result.reshape(h, w, -1)


def _max_pool(x):
    """2x2 max pooling of (h, w, c), stride 2; an odd last row or column is pooled by itself."""
    if x.shape[0] % 2 or x.shape[1] % 2:
        x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)), constant_values=-np.inf)
    return np.maximum(np.maximum(x[0::2, 0::2], x[0::2, 1::2]), np.maximum(x[1::2, 0::2], x[1::2, 1::2]))
