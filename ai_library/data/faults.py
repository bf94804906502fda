"""Controlled faults of training data: wrong labels, class imbalance, spurious cues."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, whole_number
from ..files.text import listed
from .conditions import Cue, Turns
from .factor_grid import DIVISIBLE, OF_OUTLINES, TWO_VALUES, unit_edges
from .shape_factors import DRAWN, OWNERS, ShapeRanges


@dataclass(frozen=True)
class SpuriousCue:
    """A factor that correlates with the class in training but not in evaluation, like the background of animals.

    The factor is divided into cells, as by `FactorGrid`. Class k is correlated with cell k mod cells.

    >>> cue = SpuriousCue("contrast", share=0.9)
    >>> shapes = ShapeDataSource(class_names=("circle", "star"), spurious=cue)

    Args:
        factor: A factor that every image has, such as "contrast", "polarity" or "x": see `FactorGrid`.
        share: Fraction of the images whose factor lies in the cell of their class, in [0, 1]. The others are drawn as
            usual, and may fall into that cell by chance.
        cells: Number of cells. None: one per class, or the two of "filled" and "polarity".

    Raises:
        InputError: The factor is unknown, or the fraction or the number of cells is out of its range.
    """

    factor: str
    share: float
    cells: int | None = None

    def __post_init__(self) -> None:
        if self.factor not in DIVISIBLE:
            raise InputError(f"unknown factor {self.factor!r}: choose from {', '.join(DIVISIBLE)}")
        if not 0 <= self.share <= 1:
            raise InputError(f"the share of a cue must be from 0 to 1, got {self.share!r}")
        if self.cells is not None:
            most = 2 if self.factor in TWO_VALUES else 4096
            object.__setattr__(self, "cells", whole_number("the number of cells", self.cells, 2, most))


def cue_to_draw(
    cue: SpuriousCue, class_names: Sequence[str], image_size: int, channels: int, ranges: ShapeRanges
) -> Cue:
    """The `Cue` of a `SpuriousCue`. Raises `InputError` if some images lack the factor, or it cannot be divided so."""
    lacking = [name for name in class_names if name not in OWNERS.get(cue.factor, class_names)]
    if lacking or (cue.factor in OF_OUTLINES and ranges.outlined < 1):
        raise InputError(
            f"a cue must be a factor of each image, but {listed(lacking) or 'filled shapes'} have no {cue.factor}: "
            "choose another factor"
        )
    cells = cue.cells or (2 if cue.factor in TWO_VALUES else len(class_names))
    if cue.factor == "filled" and ranges.outlined in (0, 1):
        raise InputError(f"filled cannot be a cue where outlined is {ranges.outlined:g}: choose another factor")
    edges = unit_edges(cue.factor, cells, image_size, channels, ranges)
    own = np.arange(len(class_names)) % cells
    bounds = np.stack([edges[own], edges[own + 1]], axis=1)
    return Cue(np.array(cue.share, np.float32), bounds, np.array(DRAWN.index(cue.factor), np.int32))


def confusion(label_noise: Any, num_classes: int) -> NDArray[np.float64] | None:
    """Returns (classes, classes) float64, the probabilities of labels by true class; None if all labels are right.

    Args:
        label_noise: Fraction of wrong labels in [0, 1], spread evenly over the other classes; or such a matrix.
        num_classes: Number of classes; a fraction needs at least 2.

    Raises:
        InputError: It is neither.
    """
    given = np.asarray(label_noise, np.float64)
    if given.ndim == 0:
        if not 0 <= given <= 1 or (given and num_classes < 2):
            raise InputError(f"label_noise must be from 0 to 1, of 2 classes or more, got {label_noise!r}")
        others = given / max(num_classes - 1, 1)
        given = np.where(np.eye(num_classes, dtype=bool), 1 - given, others)
    elif given.shape != (num_classes,) * 2 or not (given >= 0).all() or not np.allclose(given.sum(axis=1), 1):
        raise InputError(
            f"label_noise must be a share or a matrix {(num_classes,) * 2} of probabilities, each row of which sums to "
            f"1, got {given.shape} with sums {given.sum(axis=-1)}: divide each row by its sum"
        )
    return None if (given == np.eye(num_classes)).all() else given


def noise_to_draw(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns (classes, classes) float32, the cumulative probabilities of the labels."""
    cumulative = matrix.cumsum(axis=1)
    return (cumulative / cumulative[:, -1:]).astype(np.float32)


def normalised_shares(class_shares: ArrayLike, num_classes: int) -> NDArray[np.float64]:
    """Returns (classes,) float64 that sum to 1.

    Raises:
        InputError: They are not one positive number per class.
    """
    shares = np.asarray(class_shares, np.float64)
    if shares.shape != (num_classes,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise InputError(
            f"class_shares must be a positive number for each of {num_classes} classes, got {class_shares!r}: leave "
            "classes without images out of class_names"
        )
    return shares / shares.sum()


def turns_to_draw(shares: NDArray[np.float64]) -> Turns:
    """Returns the turns of classes with these shares (classes,), which sum to 1; some may be 0."""
    classes = np.flatnonzero(shares)
    ends = np.round(shares[classes].cumsum() * 2**32)[:-1].astype(np.uint32)
    without = len(shares) - len(classes)
    return Turns(
        np.pad(classes.astype(np.int32), (0, without), mode="edge"),
        np.pad(ends, (0, without), constant_values=2**32 - 1),
    )
