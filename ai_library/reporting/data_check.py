"""The page that says what looks wrong in a data set: labels, copies, and images unlike the rest."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.images.odd_images import OddImage
from ..evaluation.label_errors import LabelErrors, find_label_errors
from ..evaluation.report import Report
from .page import rendered

SHOWN = 60
"""Suspicious labels that a page shows; of every other kind of finding it shows a few."""
_FEW = 12


class Pair(NamedTuple):
    """Two images of which one is a copy of the other, as their indices."""

    one: int
    other: int
    kind: str
    """Such as "same pixels"."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataCheck:
    """What was found in a data set of n images."""

    names: Sequence[str]
    """Of the images."""
    images: NDArray[np.uint8]
    """(n, h, w, c)."""
    report: Report
    """Of all images in their order, each predicted by a network that was not trained on it."""
    copies: Sequence[Pair] = ()
    not_compared: str = ""
    """Why only copies of the same pixels were looked for; "" where all were."""
    leaks: int = 0
    """How many images have a copy in an earlier split."""
    odd: Sequence[OddImage] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why files cannot be read, by their paths."""
    command: str = ""
    """What found it out, as a shell takes it; "" where nobody knows."""

    @cached_property
    def errors(self) -> LabelErrors:
        """The labels that are probably wrong."""
        return find_label_errors(self.report.labels, self.report.probabilities)

    @cached_property
    def odd_by_reason(self) -> dict[str, list[OddImage]]:
        """The odd images, by the reason."""
        found = defaultdict(list)
        for each in self.odd:
            found[each.reason].append(each)
        return dict(found)

    def label_of(self, index: int) -> str:
        """The class that an image is labelled as."""
        return self.report.class_names[self.report.labels[index]]


def data_check_page(check: DataCheck) -> str:
    """The page as HTML, with pictures of the most suspicious images; it needs no other file."""
    errors, names = check.errors, check.report.class_names
    shown = [
        {
            "index": int(errors.indices[place]),
            "label": names[errors.labels[place]],
            "suggested": names[errors.suggested[place]],
            "typical": _typical(check, int(errors.suggested[place])),
            "probability": float(errors.probability[place]),
            "self_confidence": float(errors.self_confidence[place]),
        }
        for place in range(min(len(errors), SHOWN))
    ]
    return rendered("data_check.html", check=check, shown=shown, few=_FEW, mixed=_mixed(check))


def _typical(check, label):
    """The index of the image that most surely is of a class, and has its label; None where no such one is."""
    found = check.report.hits & (check.report.labels == label)
    return int(np.where(found, check.report.confidence, -1).argmax()) if found.any() else None


def _mixed(check):
    """(label, true class, images) of the pairs of classes that are taken for each other most often."""
    joint, names = check.errors.joint.copy(), check.report.class_names
    np.fill_diagonal(joint, 0)
    order = np.argsort(-joint, axis=None, kind="stable")[:_FEW]
    pairs = zip(*np.unravel_index(order, joint.shape), strict=True)
    return [(names[i], names[j], int(joint[i, j])) for i, j in pairs if joint[i, j]]
