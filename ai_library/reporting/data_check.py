"""The page of problems in a data set: wrong labels, copies, and images unlike the rest."""

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
"""Most suspicious labels on a page; it shows fewer of every other kind of finding."""
_FEW = 12


class Pair(NamedTuple):
    """The indices of two images of which one is a copy of the other."""

    one: int
    other: int
    kind: str
    """The kind of copy, such as "same pixels"."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataCheck:
    """The findings in a data set of n images."""

    names: Sequence[str]
    """Of the images."""
    images: NDArray[np.uint8]
    """(n, h, w, c)."""
    report: Report
    """The out-of-fold predictions of all images, in their order."""
    copies: Sequence[Pair] = ()
    not_compared: str = ""
    """Why only copies with the same pixels were searched for; "" if near copies were too."""
    leaks: int = 0
    """Number of images with a copy, or an image of their group, in an earlier split."""
    odd: Sequence[OddImage] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    """The reasons why files cannot be read, by path."""
    command: str = ""
    """The shell command that made the check; "" if unknown."""

    @cached_property
    def errors(self) -> LabelErrors:
        """The labels that are probably wrong."""
        return find_label_errors(self.report.labels, self.report.probabilities)

    @cached_property
    def odd_by_reason(self) -> dict[str, list[OddImage]]:
        """The odd images, by reason."""
        found = defaultdict(list)
        for each in self.odd:
            found[each.reason].append(each)
        return dict(found)

    def label_of(self, index: int) -> str:
        """The class name of an image's label."""
        return self.report.class_names[self.report.labels[index]]


def data_check_page(check: DataCheck) -> str:
    """The page as self-contained HTML, with pictures of the most suspicious images."""
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
    """The index of the image with the given label that is predicted most confidently; None if there is none."""
    found = check.report.hits & (check.report.labels == label)
    return int(np.where(found, check.report.confidence, -1).argmax()) if found.any() else None


def _mixed(check):
    """(label, true class, number of images) of the class pairs with the most estimated label errors."""
    joint, names = check.errors.joint.copy(), check.report.class_names
    np.fill_diagonal(joint, 0)
    order = np.argsort(-joint, axis=None, kind="stable")[:_FEW]
    pairs = zip(*np.unravel_index(order, joint.shape), strict=True)
    return [(names[i], names[j], int(joint[i, j])) for i, j in pairs if joint[i, j]]
