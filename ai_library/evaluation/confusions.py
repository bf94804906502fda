"""The confusion matrix in sparse form: its memory does not grow with the square of the number of classes."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = 1000
"""With more classes, tables have only the most frequent ones, and a list of cells replaces the matrix."""
MOST_CELLS = 10_000
"""Most cells in such a list."""


class Confusions:
    """The nonzero cells of a confusion matrix, row by row.

    Args:
        labels: (n,) int, the true classes.
        predictions: (n,) int, the predicted classes.
        classes: Number of classes.
    """

    def __init__(self, labels: np.ndarray, predictions: np.ndarray, classes: int):
        self.classes = classes
        self.true: NDArray[np.intp]
        self.predicted: NDArray[np.intp]
        self.counts: NDArray[np.intp]
        cells = labels.astype(np.int64) * classes + predictions  # in uint8 the product would overflow
        cells, self.counts = np.unique(cells, return_counts=True)
        self.true, self.predicted = cells // classes, cells % classes

    @cached_property
    def support(self) -> "NDArray[np.intp]":
        """(classes,) int, the number of examples of each class."""
        return self._sums(self.true, self.counts)

    @cached_property
    def predictions(self) -> "NDArray[np.intp]":
        """(classes,) int, the number of predictions of each class."""
        return self._sums(self.predicted, self.counts)

    @cached_property
    def right(self) -> "NDArray[np.intp]":
        """(classes,) int, the number of right predictions of each class."""
        return self._sums(self.true, np.where(self.true == self.predicted, self.counts, 0))

    @cached_property
    def in_tables(self) -> "NDArray[np.intp]":
        """The classes that have a row in tables, in order.

        These are all classes. If there are more than `MOST_CLASSES`, they are the most frequent ones that occur.
        """
        if self.classes <= MOST_CLASSES:
            return np.arange(self.classes)
        frequency = self.support + self.predictions
        most = np.argsort(-frequency, kind="stable")[:MOST_CLASSES]
        return np.sort(most[frequency[most] > 0])

    def matrix(self, chosen: np.ndarray) -> "NDArray[np.intp]":
        """The confusion matrix (m, m) of the `chosen` classes (m,), distinct and sorted: rows are the true classes."""
        cells = np.isin(self.true, chosen) & np.isin(self.predicted, chosen)
        matrix = np.zeros((len(chosen), len(chosen)), np.intp)
        row, column = (np.searchsorted(chosen, each[cells]) for each in (self.true, self.predicted))
        matrix[row, column] = self.counts[cells]
        return matrix

    def largest(self, n: int, wrong: bool = False) -> list[tuple[int, int, int]]:
        """(true class, predicted class, count) of the `n` largest cells, largest first; `wrong`: errors only."""
        order = np.argsort(-self.counts, kind="stable")
        if wrong:
            order = order[(self.true != self.predicted)[order]]
        columns = (column[order[:n]].tolist() for column in (self.true, self.predicted, self.counts))
        return list(zip(*columns, strict=True))

    def as_json(self) -> dict[str, Any]:
        """The whole "confusion_matrix"; or, for more than `MOST_CLASSES` classes, None there, and the largest cells."""
        if self.classes <= MOST_CLASSES:
            return {"confusion_matrix": self.matrix(self.in_tables).tolist()}
        cells = self.largest(MOST_CELLS)
        return {
            "confusion_matrix": None,
            "confusions": [list(cell) for cell in cells],
            "left_out": f"Of {self.classes:,} classes per_class has {len(self.in_tables):,}, those that occur most "
            f"among labels and predictions. Of the {len(self.counts):,} cells of the confusion matrix that are not 0, "
            f"confusions has the largest {len(cells):,}, as [true class, predicted class, examples].",
        }

    def _sums(self, classes, counts):
        return np.bincount(classes, weights=counts, minlength=self.classes).astype(np.intp)
