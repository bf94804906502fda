"""Cross-validation: divides the examples of a source into folds, if they are too few for fixed splits."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, whole_number
from ..files.text import listed
from .examples import ArrayExamples
from .source import SPLITS, DataSource
from .splitting import SHARES, stratified


class FoldDataSource(DataSource):
    """A fold of another source: one fold is "evaluation", the others are "train" and "validation".

    `folds` makes it. It copies the images of the source into memory when they are first used.

    >>> first, second = folds(source, 2)
    >>> {split: first.size(split) for split in first.splits}
    {'train': 54, 'validation': 10, 'evaluation': 64}
    """

    def __init__(self, source: DataSource, fold: tuple[int, int], pool: "_Pool", split_of: NDArray[np.object_]):
        super().__init__(seed=source.seed, image_shape=source.image_shape, class_names=source.class_names)
        self.content_size: int | None = source.content_size
        self._fold, self._pool, self._split_of = fold, pool, split_of

    def load(self, split: str) -> ArrayExamples:
        """Returns the examples of the other source that are in a split of this fold."""
        own = self._split_of == split
        return ArrayExamples(self._pool.images[own], self._pool.labels[own])

    def groups_of(self, split: str) -> NDArray[np.intp]:
        """Returns the group (n,) of each example of a split."""
        return self._pool.groups[self._split_of == split]

    def positions(self, split: str) -> NDArray[np.intp]:
        """Returns (n,) the indices of a split's examples among all of the other source, its splits concatenated."""
        return np.flatnonzero(self._split_of == split)

    def settings(self) -> dict[str, Any]:
        """The settings of a source, with the number of this fold and of all folds."""
        return {**super().settings(), "fold": list(self._fold)}


class _Pool(NamedTuple):
    """The examples of all splits."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    groups: NDArray[np.intp]


def folds(source: DataSource, k: int) -> list[FoldDataSource]:
    """Divides all examples of a source into k folds, and returns k sources.

    Each example is in the "evaluation" split of exactly one of them. The folds are stratified by class, and groups of
    examples (see `DataSource.groups_of`) are never divided. Of the other folds, 15 % are "validation", by the same
    rules.

    >>> [fold.size("evaluation") for fold in folds(source, 4)]
    [32, 32, 32, 32]

    Args:
        source: The source, of whose splits train, validation and evaluation all examples are used.
        k: Number of folds, from 2 to 100.

    Returns:
        The k sources, one per fold.

    Raises:
        InputError: `k` is out of its range, or classes have fewer groups than k, or than 3 (4 for two folds); the
            message names them.
    """
    k = whole_number("the number of folds", k, 2, 100)
    pool = _pooled(source)
    labels, names = pool.labels.tolist(), [str(group) for group in pool.groups]
    of_class = defaultdict(set)
    for label, name in zip(labels, names, strict=True):
        of_class[label].add(name)
    least, counts = max(k, 4 if k == 2 else 3), [len(of_class[label]) for label in range(source.num_classes)]
    few = [f"{name} ({n})" for name, n in zip(source.class_names, counts, strict=True) if n < least]
    if few:
        raise InputError(
            f"classes too small for {k} folds: {listed(few)}; each needs {least} images or more that "
            "are no copies of each other, or as many groups: use fewer folds, or add images"
        )
    fold_of = np.array(stratified(labels, names, dict.fromkeys(range(k), 1 / k)))
    shares = {"train": 1 - SHARES["validation"], "validation": SHARES["validation"]}
    sources = []
    for fold in range(k):
        split_of = np.full(len(labels), "evaluation", object)
        rest = np.flatnonzero(fold_of != fold)
        split_of[rest] = stratified([labels[index] for index in rest], [names[index] for index in rest], shares)
        sources.append(FoldDataSource(source, (fold + 1, k), pool, split_of))
    return sources


def _pooled(source):
    splits = [split for split in source.splits if split in SPLITS]
    parts = [source.examples(split, range(source.size(split))) for split in splits]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return _Pool(
        images, labels, _all_groups([source.groups_of(split) for split in splits], [len(each[1]) for each in parts])
    )


def _all_groups(groups, sizes):
    """The groups of all splits; the examples of a split without any, which are independent, get further numbers."""
    number = 1 + max((int(each.max(initial=-1)) for each in groups if each is not None), default=-1)
    found = []
    for each, size in zip(groups, sizes, strict=True):
        found.append(np.arange(number, number + size) if each is None else each)
        number += size
    return np.concatenate(found)
