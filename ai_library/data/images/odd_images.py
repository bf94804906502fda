"""Finds images that are unlike the rest of a data set: in size, brightness or sharpness."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DARK, _LIGHT = 32, 223  # grey levels: bounds of nearly all pixels of a black or a white image
_FLAT = 2  # levels of standard deviation
_FAR = 5  # robust z-score: deviations from the median, in units of IQR / 1.35
_RATIO = {"size": 4, "proportions": 2, "sharpness": 10}  # least ratio to the median of an odd image
_BLOCK = 256


class OddImage(NamedTuple):
    """An image that is unlike the rest."""

    image: int
    """Index of the image."""
    reason: str
    """The kind, such as "almost black" or "blurred"."""
    detail: str
    """The measured value, and that of the other images."""


def odd_images(images: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> list[OddImage]:
    """Returns the images of a data set that are almost black or white, empty, blurred, or of an unusual size.

    An image is blurred if the variance of its Laplacian, after fitting, is below a tenth of the median and is an
    outlier. A size is unusual if its area differs from the median by a factor of four, or its aspect ratio by a factor
    of two, and it is an outlier.

    Args:
        images: (n, h, w, c) uint8, after fitting.
        sizes: (width, height) of each upright image in pixels, before fitting.
    """
    return [*_without_content(images), *_of_odd_size(np.array(sizes, float).reshape(-1, 2))]


def _without_content(images):
    measured = [_measured(images[start : start + _BLOCK]) for start in range(0, len(images), _BLOCK)]
    low, high, contrast, sharpness = np.concatenate(measured, axis=1) if measured else np.zeros((4, 0))
    odd = {}
    for index in np.flatnonzero((high <= _DARK) | (low >= _LIGHT) | (contrast < _FLAT)).tolist():
        if high[index] <= _DARK:
            odd[index] = OddImage(index, "almost black", f"99 % of it at most {high[index]:.0f} of 255")
        elif low[index] >= _LIGHT:
            odd[index] = OddImage(index, "almost white", f"99 % of it at least {low[index]:.0f} of 255")
        else:
            odd[index] = OddImage(index, "shows nothing", f"grey levels deviate by {contrast[index]:.1f} of 255")
    yield from odd.values()
    rest = np.array([index for index in range(len(images)) if index not in odd], int)
    for place, median in _far(sharpness[rest], _RATIO["sharpness"]):
        if sharpness[rest[place]] < median:
            index = int(rest[place])
            detail = f"variance of the Laplacian {sharpness[index]:.1f}, median {median:.1f}"
            yield OddImage(index, "blurred", detail)


def _measured(images):
    """(4, n): 1st and 99th percentile and standard deviation of grey levels, and the variance of their Laplacian."""
    grey = (images[..., :3] if images.shape[-1] > 2 else images[..., :1]).mean(axis=-1, dtype=np.float32)
    low, high = np.percentile(grey, (1, 99), axis=(1, 2))
    laplacian = -4 * grey[:, 1:-1, 1:-1]
    laplacian += grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    sharpness = laplacian.var(axis=(1, 2)) if laplacian.size else np.ones(len(images))
    return np.array([low, high, grey.std(axis=(1, 2)), sharpness])


def _of_odd_size(sizes):
    for place, median in _far(sizes.prod(axis=1), _RATIO["size"]):
        width, height = sizes[place].astype(int)
        yield OddImage(place, "odd size", f"{width}x{height}, the median has {median:,.0f} pixels")
    for place, median in _far(sizes[:, 0] / sizes[:, 1], _RATIO["proportions"]):
        width, height = sizes[place].astype(int)
        yield OddImage(place, "odd proportions", f"{width}x{height}, the median is {median:.2f} times as wide as high")


def _far(values, ratio) -> Iterator[tuple[int, float]]:
    """Yields (index, median) for positive values that are outliers by their ratio and their deviation."""
    if not len(values):
        return
    logs = np.log(np.maximum(values, 1e-3))
    low, median, high = np.percentile(logs, (25, 50, 75))
    far = np.maximum(np.log(ratio), _FAR * (high - low) / 1.349)
    for place in np.flatnonzero(np.abs(logs - median) > far).tolist():
        yield place, float(np.exp(median))
