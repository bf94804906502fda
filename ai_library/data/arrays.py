"""`ArrayDataSource`: arrays in memory as a data source."""

from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .examples import ArrayExamples
from .source import SPLITS, DataSource


class ArrayDataSource(DataSource):
    """A data source of arrays: images (n, h, w, c) uint8, or (n, h, w) for one channel, and integer labels (n,).

    Each split is given as (images, labels). The arrays are not copied, and must not be changed afterwards.

    >>> x, y = np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 2
    >>> source = ArrayDataSource(train=(x, y), validation=0.2, class_names=("cat", "dog"))
    >>> source
    ArrayDataSource: 8x8x1 images of cat, dog
    >>> source.size("train"), source.size("validation")
    (16, 4)

    Args:
        train: The training examples. Their image shape is that of the source.
        validation: The examples that choose the epoch. A number such as 0.1 takes this fraction of each class out of
            `train`, evenly spaced, independent of the seed. None: no such split, and `Trainer` refuses the source.
        evaluation: The examples of the final evaluation. None: no such split.
        class_names: Names of the labels 0, 1, ... None: "0", "1", ... up to the highest label of `train`, which must
            then have every label.
        seed: Seed of the order of the training images.

    Raises:
        InputError: An array has another shape or type, or a label is not a class. Later: a split that was not given is
            used.
    """

    def __init__(
        self,
        *,
        train: tuple[ArrayLike, ArrayLike],
        validation: tuple[ArrayLike, ArrayLike] | float | None = None,
        evaluation: tuple[ArrayLike, ArrayLike] | None = None,
        class_names: Sequence[str] | None = None,
        seed: int = 0,
    ):
        part = validation if isinstance(validation, Real) else None
        given = {"train": train, "validation": None if part is not None else validation, "evaluation": evaluation}
        self._arrays = {split: self._array_examples(split, pair) for split, pair in given.items() if pair is not None}
        if "train" not in self._arrays:
            raise InputError("train must be (images, labels), got None")
        if part is not None:
            self._arrays |= _divided(self._arrays["train"], part)
        self.splits: tuple[str, ...] = tuple(split for split in SPLITS if split in self._arrays)
        if class_names is None:
            class_names = _numbers(self._arrays["train"].labels)
        super().__init__(image_shape=self._arrays["train"].images.shape[1:], class_names=class_names, seed=seed)
        for split in self.splits:
            self.size(split)  # which checks it

    def load(self, split: str) -> ArrayExamples:
        """Returns the examples of a split that was given."""
        if split not in self._arrays:
            part = " or validation=0.1, which takes a tenth of train," if split == "validation" else ""
            raise InputError(f"this source has no {split} examples: make it with {split}=(images, labels){part}")
        return self._arrays[split]

    def _array_examples(self, split, pair):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{split} must be (images, labels), got {type(pair).__name__}")
        try:
            return ArrayExamples(*pair)
        except InputError as error:
            raise InputError(f"{self._place(split)}: {error}") from error

    def _place(self, split):
        return f"{type(self).__name__}(..., {split}=(images, labels))"


def _divided(train, part):
    """The examples of train and validation, with the fraction `part` of each class of `train` in validation."""
    if not 0 < part < 1:
        raise InputError(f"validation must be (images, labels) or a number between 0 and 1, got {part}")
    held_out = np.zeros(len(train), bool)
    for label in np.unique(train.labels):
        members = np.flatnonzero(train.labels == label)
        count = min(round(part * len(members)), len(members) - 1)  # one at least stays
        held_out[members[np.diff(np.arange(len(members) + 1) * count // len(members)) > 0]] = True
    if not held_out.any():
        raise InputError(f"validation={part} takes no example of {len(train)}: give a larger part")
    return {
        "train": ArrayExamples(train.images[~held_out], train.labels[~held_out]),
        "validation": ArrayExamples(train.images[held_out], train.labels[held_out]),
    }


def _numbers(labels):
    """The class names "0", "1", ... for labels that have every number."""
    found = np.unique(labels)
    if len(found) < 2 or found[0] != 0 or found[-1] != len(found) - 1:
        raise InputError(
            "class_names must be given unless train has every label from 0 up, of 2 classes or more; its labels are "
            f"{', '.join(map(str, found[:5]))}{', ...' if len(found) > 5 else ''}: number the classes from 0"
        )
    return tuple(map(str, found))
