"""Confident learning: finds examples whose label is probably wrong, from out-of-fold predictions.

Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR 70, 2021, 1373-1411). Where
the paper leaves details open, such as rounding, it follows cleanlab 2: its `find_label_issues` gives the same result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, check_labels

_TOLERANCE = 1e-6  # below which two probabilities are equal
_NEVER = 2.0  # the threshold of a class without examples: no probability reaches it


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """The m examples whose label is probably wrong, sorted by the probability of their label, lowest first.

    >>> found = find_label_errors([0, 0, 1, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> len(found), found.labels.tolist(), found.suggested.tolist()
    (1, [1], [0])

    Attributes:
        indices: (m,) int, the indices of these examples among all.
        labels: (m,) int, the given labels.
        suggested: (m,) int, the predicted classes.
        probability: (m,) float in [0, 1], the probability of the predicted class.
        self_confidence: (m,) float in [0, 1], the probability of the given label.
        joint: (k, k) int, the estimated number of examples with given label i and true class j: see `confident_joint`.
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

    For each pair of classes (i, j), the confident joint estimates how many examples labelled i are truly of class j.
    So many are returned: those with the largest difference between the probabilities of j and i ("prune by noise
    rate"). An example whose prediction equals its label is never returned.

    >>> probabilities = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]]
    >>> found = find_label_errors([0, 0, 1, 1, 1], probabilities)
    >>> found.indices.tolist(), found.suggested.tolist()
    ([4], [0])

    Args:
        labels: (n,) int, the given labels, from 0 to k - 1.
        probabilities: (n, k) float in [0, 1], from networks that were not trained on the example: see
            `predict_out_of_fold`.

    Returns:
        The `LabelErrors`.

    Raises:
        InputError: The shapes disagree, a label is not a class, or a probability lies outside of [0, 1].
    """
    labels, probabilities = _checked(labels, probabilities)
    joint, n = confident_joint(labels, probabilities), np.arange(len(labels))
    found = np.zeros(len(labels), bool)
    for label, counts in enumerate(_errors_to_find(joint)):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:  # every class keeps one example
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
    """Estimates (k, k), the number of examples with given label i and true class j.

    The threshold of class j is the mean probability of j over the examples labelled j. An example counts as class j if
    its probability of j reaches the threshold, or as the most probable one of several such classes. The counts of each
    label are then scaled to the number of examples that have it.

    Args:
        labels: (n,) int, the given labels, from 0 to k - 1.
        probabilities: (n, k) float in [0, 1], from networks that were not trained on the example.

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
    """(k, k) int: how many examples labelled i to return as class j; every label keeps one example."""
    kept = joint.diagonal()
    lacking = np.maximum(kept, 1) - kept
    kinds = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    counts = np.maximum(joint - (lacking / kinds)[:, np.newaxis], 0).astype(int)
    np.fill_diagonal(counts, 0)
    return counts


def _rounded(row):
    """Rounds a row of counts so that its sum is the rounded sum: the counts nearest to the next integer move to it."""
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
