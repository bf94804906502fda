"""How much of its accuracy a classifier keeps on images that are worse than those it was trained on.

The idea is that of Hendrycks and Dietterich (ICLR 2019): common corruptions in five severities. The levels here are our
own, and lengths are shares of the image's side, so that one table serves all sizes.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from ..errors import InputError, whole_number
from .evaluator import check_same_classes
from .metrics import wilson_interval


def _noise(image, level, rng):
    return image + 255 * level * rng.standard_normal(image.shape, np.float32)


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
    image[top : top + side, left : left + side] = 127.5
    return image


def _contrast(image, level, rng):
    return image.mean() + level * (image - image.mean())


def _side(image):
    return min(image.shape[:2])


class Corruption(NamedTuple):
    meaning: str
    """What the levels measure."""
    levels: tuple[float, float, float, float, float]
    """One for each severity from 1 to 5."""
    apply: Callable
    """(image (h, w, c) float32 from 0 to 255, level, numpy Generator) -> the same, corrupted."""


CORRUPTIONS = {
    "noise": Corruption(
        "standard deviation of normal noise, black to white being 1", (0.04, 0.08, 0.12, 0.18, 0.26), _noise
    ),
    "blur": Corruption(
        "standard deviation of a Gaussian blur, the side being 1", (0.01, 0.02, 0.03, 0.045, 0.06), _blur
    ),
    "shift": Corruption("distance in a random direction, the side being 1", (0.03, 0.06, 0.09, 0.12, 0.16), _shift),
    "rotation": Corruption("degrees, to either side", (6, 12, 18, 24, 30), _rotation),
    "occlusion": Corruption(
        "side of a grey square at a random place, the image's being 1", (0.1, 0.2, 0.3, 0.4, 0.5), _occlusion
    ),
    "contrast": Corruption(
        "share of the difference from the mean that is left", (0.75, 0.5, 0.35, 0.2, 0.1), _contrast
    ),
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images, kind: str, severity: int, seed: int = 0, indices=None) -> np.ndarray:
    """Images (b, h, w, c) uint8 with one of the `CORRUPTIONS`; borders are continued where they move into the frame.

    The chance in it is a pure function of (seed, index): an image is corrupted alike in any batch, and the severities
    of a kind differ in strength alone.

    Args:
        images: (b, h, w, c) uint8; they are left as they are.
        kind: A name out of `CORRUPTIONS`.
        severity: 1 to 5; 0 gives the same images back.
        seed: Of the chance.
        indices: (b,) int, what tells the images from each other; 0, 1, ... b - 1 where it is left out.

    Raises `InputError` for another kind, severity or type.
    """
    if kind not in CORRUPTIONS:
        raise InputError(f"unknown corruption {kind!r}: choose from {', '.join(CORRUPTIONS)}")
    if severity not in (0, *SEVERITIES):
        raise InputError(f"severity={severity} does not fit: it needs to be from 0 to {SEVERITIES[-1]}")
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InputError(f"images {images.shape} of {images.dtype} do not fit: they need to be (b, h, w, c) of uint8")
    corrupted = images.copy()
    if severity:
        level, apply = CORRUPTIONS[kind].levels[severity - 1], CORRUPTIONS[kind].apply
        for image, index in zip(corrupted, range(len(images)) if indices is None else indices, strict=True):
            worse = apply(image.astype(np.float32), level, np.random.default_rng([seed, index]))
            image[:] = np.clip(np.rint(worse), 0, 255)
    return corrupted


class CorruptedAccuracy(NamedTuple):
    """The accuracy at one severity of a corruption; the kind "none" has severity 0."""

    kind: str
    severity: int
    n: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]


def evaluate_corrupted(
    classifier, source, split: str = "evaluation", *, n: int = 1000, seed: int = 0
) -> list[CorruptedAccuracy]:
    """The accuracy of a classifier on `n` random examples of a split (all, if it has fewer): as they are, and with
    every corruption in every severity.

    Raises `InputError` where the classifier was made for other classes or images than the source has.
    """
    check_same_classes(classifier, source)
    n = whole_number("n", n, 1, 2**32)
    indices = np.sort(np.random.default_rng(seed).permutation(source.size(split))[:n])
    images, labels = source.examples(split, indices)

    rows = []
    for kind, severity in [("none", 0), *product(CORRUPTIONS, SEVERITIES)]:
        corrupted = corrupt(images, kind, severity, seed, indices) if severity else images
        correct = int((classifier.predict(corrupted) == labels).sum())
        interval = wilson_interval(correct, len(labels))
        rows.append(CorruptedAccuracy(kind, severity, len(labels), correct, correct / len(labels), interval))
    return rows
