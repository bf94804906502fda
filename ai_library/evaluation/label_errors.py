"""Finds examples whose label is probably wrong: confident learning, on predictions that were made without them.

Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR 70, 2021, 1373-1411). What
the paper leaves open, such as how counts are rounded, is as in cleanlab 2, whose `find_label_issues` gives the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .metrics import check_labels

_TOLERANCE = 1e-6  # below which two probabilities are equal
_NEVER = 2.0  # a threshold for classes without an example, which no probability reaches


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """The m examples whose label is probably wrong, those with the lowest probability of their label first.

    Args:
        indices: (m,) int, which of all examples they are.
        labels: (m,) int, the labels that they have.
        suggested: (m,) int, the classes that were predicted instead.
        probability: (m,) float in [0, 1], of the suggested class.
        self_confidence: (m,) float in [0, 1], the probability of the label that they have.
        joint: (k, k) int, how many of all examples have the label i and truly are of class j, as estimated: see
            `confident_joint`.
    """

    indices: NDArray[np.intp]
    labels: NDArray[np.intp]
    suggested: NDArray[np.intp]
    probability: NDArray[np.float64]
    self_confidence: NDArray[np.float64]
    joint: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)


def find_label_errors(labels: ArrayLike, probabilities: ArrayLike) -> LabelErrors:
    """Finds the labels that are probably wrong.

    For each pair of classes, of the examples with the label i as many as the confident joint counts as truly of class j
    are taken, those that prefer j to i by the most ("prune by noise rate"). An example that is predicted to be what its
    label says is never one of them.

    >>> probabilities = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]]
    >>> found = find_label_errors([0, 0, 1, 1, 1], probabilities)
    >>> found.indices.tolist(), found.suggested.tolist()
    ([4], [0])

    Args:
        labels: (n,) int, from 0 to k - 1.
        probabilities: (n, k) of each class, from a network that was not trained on the example: see
            `predict_out_of_fold`.

    Raises:
        InputError: The arrays' shapes disagree, or they hold no labels or no probabilities.
    """
    labels, probabilities = _checked(labels, probabilities)
    joint, n = confident_joint(labels, probabilities), np.arange(len(labels))
    found = np.zeros(len(labels), bool)
    for label, counts in enumerate(_errors_to_find(joint)):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:  # one example is left to each class
            continue
        margins = probabilities[own] - probabilities[own, label, np.newaxis]
        for other in np.flatnonzero(counts):
            found[own[np.argsort(-margins[:, other])[: counts[other]]]] = True
    nearly = probabilities.copy()
    nearly[n, labels] += _TOLERANCE
    found &= nearly.argmax(axis=1) != labels
    self_confidence = probabilities[n, labels]
    indices = np.flatnonzero(found)
    indices = indices[np.argsort(self_confidence[indices])]
    return LabelErrors(
        indices=indices,
        labels=labels[indices],
        suggested=probabilities[indices].argmax(axis=1),
        probability=probabilities[indices].max(axis=1),
        self_confidence=self_confidence[indices],
        joint=joint,
    )


def confident_joint(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.int64]:
    """Estimates (k, k) how many examples have the label i and truly are of class j.

    An example is counted as of class j where its probability reaches the mean of those of the examples with the label
    j; where it reaches several such thresholds, as of its most probable class. The counts of each label are then scaled
    to the number of examples that have it.

    Args:
        labels: (n,) int, from 0 to k - 1.
        probabilities: (n, k) of each class, from a network that was not trained on the example.

    Raises:
        InputError: As `find_label_errors`.
    """
    labels, probabilities = _checked(labels, probabilities)
    k = probabilities.shape[1]
    sizes = np.bincount(labels, minlength=k)
    thresholds = [probabilities[:, j][labels == j].mean() if sizes[j] else _NEVER for j in range(k)]
    confident = probabilities >= np.maximum(thresholds, 2 * _TOLERANCE) - _TOLERANCE
    several = confident.sum(axis=1) > 1
    true, any_ = np.where(several, probabilities.argmax(axis=1), confident.argmax(axis=1)), confident.any(axis=1)
    counts = np.bincount(labels[any_] * k + true[any_], minlength=k * k).reshape(k, k)
    np.fill_diagonal(counts, counts.diagonal().clip(min=1))
    counts = np.asfortranarray(counts)  # summed in cleanlab's order: the last bit decides between equal fractions
    scaled = (counts.T / counts.sum(axis=1) * sizes).T
    scaled = scaled / scaled.sum() * sizes.sum()
    return np.array([_rounded(row) for row in scaled])


def _errors_to_find(joint):
    """(k, k) int: how many of the examples with the label i to take for examples of j; one stays of each label."""
    kept = joint.diagonal()
    lacking = np.maximum(kept, 1) - kept
    kinds = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    counts = np.maximum(joint - (lacking / kinds)[:, np.newaxis], 0).astype(int)
    np.fill_diagonal(counts, 0)
    return counts


def _rounded(row):
    """A row of counts as integers, whose sum is that of the row, rounded: those nearest to the next one give way."""
    rounded = row.round()
    missing = int(row.sum().round() - rounded.sum())
    order = np.argsort(row - rounded)
    changed = order[::-1][:missing] if missing > 0 else order[:-missing]
    rounded[changed] += np.sign(missing)
    return rounded.astype(np.int64)


def _checked(labels, probabilities):
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise InputError(
            f"probabilities must be (n, k) of 2 classes or more, got {probabilities.shape}: pass a row for each "
            "example and a column for each class"
        )
    check_labels(labels, *probabilities.shape)
    if not (probabilities.min() >= 0 and probabilities.max() <= 1 + _TOLERANCE):  # false for nan, too
        raise InputError(
            f"probabilities must be from 0 to 1, got {probabilities.min():.4g} to {probabilities.max():.4g}: if these "
            "are logits, take their softmax"
        )
    return labels.astype(np.intp), probabilities
