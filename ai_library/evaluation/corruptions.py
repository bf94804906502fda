"""Accuracy on corrupted images: noise, blur, shift, rotation, occlusion and low contrast, in five severities each.

The idea is that of Hendrycks and Dietterich (ICLR 2019); the levels are our own. Lengths are fractions of the image's
shorter side, so that one table serves all image sizes. Of images with alpha, noise, occlusion and contrast change the
colours alone.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import InputError, whole_number
from ..runtime import display
from .evaluator import check_same_classes
from .metrics import accuracy_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..data.source import DataSource
    from ..networks.classifier import Classifier


def _noise(image, level, rng):
    colours = _colours(image)
    colours += 255 * level * rng.standard_normal(colours.shape, np.float32)
    return image


def _blur(image, level, rng):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, (level * _side(image), level * _side(image), 0), mode="nearest")


def _shift(image, level, rng):
    from scipy.ndimage import shift

    angle, length = 2 * np.pi * rng.random(), level * _side(image)
    return shift(image, (length * np.sin(angle), length * np.cos(angle), 0), order=1, mode="nearest")


def _rotation(image, level, rng):
    from scipy.ndimage import rotate

    return rotate(image, rng.choice([-level, level]), axes=(1, 0), reshape=False, order=1, mode="nearest")


def _occlusion(image, level, rng):
    side = round(level * _side(image))
    top, left = np.rint((np.array(image.shape[:2]) - side) * rng.random(2)).astype(int)
    _colours(image)[top : top + side, left : left + side] = 127.5
    return image


def _contrast(image, level, rng):
    colours = _colours(image)
    colours[:] = colours.mean() + level * (colours - colours.mean())
    return image


def _colours(image):
    """A view of the image without its alpha."""
    return image[..., : image.shape[2] - (image.shape[2] in (2, 4))]


def _side(image):
    return min(image.shape[:2])


class Corruption(NamedTuple):
    """One kind of corruption."""

    meaning: str
    """The meaning and the unit of the levels."""
    levels: tuple[float, float, float, float, float]
    """The levels of the severities 1 to 5."""
    apply: "Callable[[np.ndarray, float, np.random.Generator], np.ndarray]"
    """Function of (image, level, numpy Generator), where image is (h, w, c) float32 in [0, 255]; returns the same,
    corrupted."""


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        "standard deviation of normal noise; black to white is 1", (0.04, 0.08, 0.12, 0.18, 0.26), _noise
    ),
    "blur": Corruption("standard deviation of a Gaussian blur; the side is 1", (0.01, 0.02, 0.03, 0.045, 0.06), _blur),
    "shift": Corruption("distance in a random direction; the side is 1", (0.03, 0.06, 0.09, 0.12, 0.16), _shift),
    "rotation": Corruption("degrees, clockwise or counterclockwise", (6, 12, 18, 24, 30), _rotation),
    "occlusion": Corruption(
        "side of a grey square at a random place; the image's is 1", (0.1, 0.2, 0.3, 0.4, 0.5), _occlusion
    ),
    "contrast": Corruption(
        "share of each pixel's difference from the mean that is kept", (0.75, 0.5, 0.35, 0.2, 0.1), _contrast
    ),
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    images: np.ndarray, kind: str, severity: int, seed: int = 0, indices: Iterable[int] | None = None
) -> "NDArray[np.uint8]":
    """Applies one of the `CORRUPTIONS` to each image. Pixels that move in from outside the frame repeat its border.

    The random part is a pure function of (seed, index). It is the same in any batch, and for all severities of a kind.

    >>> corrupt(np.full((1, 4, 4, 1), 200, np.uint8), "occlusion", severity=1).shape
    (1, 4, 4, 1)

    Args:
        images: (b, h, w, c) uint8. The array itself is not changed.
        kind: A name in `CORRUPTIONS`.
        severity: From 1 to 5; 0 returns an unchanged copy.
        seed: Seed of the random corruptions.
        indices: (b,) int >= 0, the index of each image in its split. By default 0, 1, ..., b - 1.

    Returns:
        (b, h, w, c) uint8, the corrupted images.

    Raises:
        InputError: `kind` is unknown, `severity` is out of range, or `images` has another shape or type.
    """
    if kind not in CORRUPTIONS:
        raise InputError(f"unknown corruption {kind!r}: choose from {', '.join(CORRUPTIONS)}")
    severity = whole_number("severity", severity, 0, SEVERITIES[-1])
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InputError(f"images must be (b, h, w, c) of uint8, got {images.shape} of {images.dtype}")
    corrupted = images.copy()
    if severity:
        level, apply = CORRUPTIONS[kind].levels[severity - 1], CORRUPTIONS[kind].apply
        for image, index in zip(corrupted, range(len(images)) if indices is None else indices, strict=True):
            worse = apply(image.astype(np.float32), level, np.random.default_rng([seed, index]))
            image[:] = np.clip(np.rint(worse), 0, 255)
    return corrupted


class CorruptedAccuracy(NamedTuple):
    """The accuracy at one severity of a corruption."""

    kind: str
    """A name in `CORRUPTIONS`, or "none" for the images as they are."""
    severity: int
    """From 1 to 5; 0 for "none"."""
    n: int
    """Number of images."""
    correct: int
    """Number of right predictions."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % interval: low, high. It accounts for groups of images: see `DataSource.groups_of`."""


def evaluate_corrupted(
    classifier: "Classifier",
    source: "DataSource",
    split: str = "evaluation",
    *,
    n: int = 1000,
    seed: int = 0,
    verbose: bool = False,
) -> list[CorruptedAccuracy]:
    """Measures the accuracy of a classifier on random examples of a split, unchanged and under every corruption.

    >>> rows = evaluate_corrupted(classifier, source, n=10)
    >>> len(rows), rows[0].kind, rows[-1].kind, rows[-1].severity
    (31, 'none', 'contrast', 5)

    Args:
        classifier: A `Classifier` for the classes and the image shape of `source`.
        source: The data source, such as a `ShapeDataSource`.
        split: A split of the source, such as "evaluation".
        n: Number of examples, the same for all corruptions; the whole split if it has fewer.
        seed: Seed of the choice of examples and of the random corruptions.
        verbose: Whether to show progress.

    Returns:
        The accuracy on the unchanged images, then one row per kind and severity.

    Raises:
        InputError: The classifier has other classes or another image shape than the source, or `n` is below 1.
    """
    check_same_classes(classifier, source)
    n = whole_number("n", n, 1, 2**32)
    indices = np.sort(np.random.default_rng(seed).permutation(source.size(split))[:n])
    images, labels = source.examples(split, indices)
    groups = source.groups_of(split)
    own_groups = None if groups is None else groups[indices]

    rows, tried = [], [("none", 0), *product(CORRUPTIONS, SEVERITIES)]
    if verbose:
        tried = display.counted(tried, "trying corruptions on images", len(tried) * len(labels), lambda _: len(labels))
    for kind, severity in tried:
        corrupted = corrupt(images, kind, severity, seed, indices) if severity else images
        hits = classifier.predict(corrupted) == labels
        correct, interval = int(hits.sum()), accuracy_interval(hits, own_groups)
        rows.append(CorruptedAccuracy(kind, severity, len(labels), correct, correct / len(labels), interval))
    return rows
