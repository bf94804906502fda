"""`Report`: the predictions of a classifier on labelled examples, and all metrics of them."""

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import numpy as np

from ..errors import InputError, MissingExtraError, check_labels
from ..files.text import counted
from ..networks.probabilities import row_blocks, softmax
from . import figures
from .confusions import Confusions
from .metrics import (
    CALIBRATION_BINS,
    Coverage,
    ReliabilityBin,
    accuracy_interval,
    coverage_curve,
    coverage_table,
    reliability_bins,
    roc_auc_and_average_precision,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


class Confusion(NamedTuple):
    """The examples of the class `true` that were predicted as the class `predicted`."""

    true: str
    predicted: str
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] - as `metrics.json` names it
    share: float
    """Share of the examples of the true class, in (0, 1]."""


class ClassMetrics(TypedDict):
    """The metrics of one class against the rest: see `Report.per_class`."""

    precision: float
    recall: float
    f1: float
    support: int
    roc_auc: float | None
    average_precision: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The metrics of n predictions. `print(report)` shows the main ones, `metrics()` returns all.

    Every accuracy has its 95 % interval. The probabilities may come from any classifier, not only this library's.

    >>> report = Report(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1]), ("cat", "dog"))
    >>> report.correct, report.n
    (2, 3)
    >>> report.most_confused()
    [Confusion(true='dog', predicted='cat', count=1, share=0.5)]

    Args:
        probabilities: (n, classes) float in [0, 1] with n >= 1, each row summing to 1.
        labels: (n,) int, the true classes, from 0 to classes - 1.
        class_names: Names of the labels 0, 1, ...
        temperature: The logits were divided by it before the softmax.
        groups: (n,) int, the group of each example, such as the film of a frame. The intervals of accuracies are then
            those of groups, which are wider. None: all examples are independent.

    Raises:
        InputError: The shapes are not those above, there is no example, a label is not a class, or a probability is
            not finite or not in [0, 1].
    """

    probabilities: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    temperature: float = 1.0
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("probabilities", "labels", "groups") if self.groups is not None else ("probabilities", "labels"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        classes, shape = len(self.class_names), self.probabilities.shape
        if len(shape) != 2 or shape[1] != classes:
            raise InputError(
                f"probabilities must be (n, {classes}), got {shape}: pass a row for each prediction and a column for "
                "each class name"
            )
        check_labels(self.labels, *shape)
        if self.groups is not None and self.groups.shape != shape[:1]:
            raise InputError(f"groups must be ({shape[0]},), one for each prediction, got {self.groups.shape}")
        low, high = self.probabilities.min(), self.probabilities.max()
        if not np.isfinite([low, high]).all():
            raise InputError(
                "probabilities must be finite, got nan or infinity: train the network with a lower learning rate"
            )
        if low < 0 or high > 1 + 1e-6:  # float32 may round to slightly above 1
            raise InputError(
                f"probabilities must be from 0 to 1, got {low:.4g} to {high:.4g}: if these are logits, take their "
                "softmax"
            )

    def only(self, which: "NDArray[np.bool_]") -> "Report":
        """The report of the examples selected by `which`, (n,) bool."""
        groups = None if self.groups is None else self.groups[which]
        return replace(self, probabilities=self.probabilities[which], labels=self.labels[which], groups=groups)

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @cached_property
    def predictions(self) -> "NDArray[np.intp]":
        """(n,) int, the most probable class of each example."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(n,) float in [0, 1], the probability of each prediction."""
        return self.probabilities.max(axis=1)

    @cached_property
    def hits(self) -> "NDArray[np.bool_]":
        """(n,) bool, which predictions are right."""
        return self.predictions == self.labels

    @property
    def correct(self) -> int:
        """Number of right predictions."""
        return int(self.hits.sum())

    @property
    def accuracy(self) -> float:
        """Share of the predictions that are right."""
        return self.correct / self.n

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """(low, high), the 95 % interval of the accuracy: see `metrics.accuracy_interval`."""
        return accuracy_interval(self.hits, self.shared_groups)

    @cached_property
    def _group_count(self):
        return self.n if self.groups is None else len(np.unique(self.groups))

    @property
    def shared_groups(self) -> np.ndarray | None:
        """The `groups`; None if no two examples are of one group."""
        return self.groups if self._group_count < self.n else None

    @cached_property
    def confusion_matrix(self) -> "NDArray[np.intp]":
        """(classes, classes) int, the number of examples by true class (row) and predicted class (column)."""
        return self.confusions.matrix(np.arange(len(self.class_names)))

    @cached_property
    def confusions(self) -> Confusions:
        """The nonzero cells of the confusion matrix, which take little memory for any number of classes."""
        return Confusions(self.labels, self.predictions, len(self.class_names))

    def most_confused(self, n: int = 10) -> list[Confusion]:
        """The pairs of a true and a predicted class with the most errors, at most `n`, the largest first."""
        names, support = self.class_names, self.confusions.support
        return [
            Confusion(names[true], names[predicted], count, count / int(support[true]))
            for true, predicted, count in self.confusions.largest(n, wrong=True)
        ]

    @cached_property
    def per_class(self) -> dict[str, ClassMetrics]:
        """The metrics of each class against the rest, by class name.

        "precision", "recall" and "f1" are 0 where they are undefined, as for a class that was never predicted or does
        not occur among the labels. "support" is the number of examples of the class. "roc_auc" and
        "average_precision" are None if all labels are this class, or none is.
        """
        support, predicted, right = self.confusions.support, self.confusions.predictions, self.confusions.right
        precision, recall = right / np.maximum(predicted, 1), right / np.maximum(support, 1)
        f1 = 2 * right / np.maximum(support + predicted, 1)
        rows: dict[str, ClassMetrics] = {}
        for label, name in enumerate(self.class_names):
            roc_auc, average_precision = (
                roc_auc_and_average_precision(self.probabilities[:, label], self.labels == label)
                if support[label]
                else (None, None)
            )
            rows[name] = {
                "precision": float(precision[label]),
                "recall": float(recall[label]),
                "f1": float(f1[label]),
                "support": int(support[label]),
                "roc_auc": roc_auc,
                "average_precision": average_precision,
            }
        return rows

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that occur among the labels or the predictions."""
        present = np.flatnonzero(self.confusions.support + self.confusions.predictions)
        return float(np.mean([self.per_class[self.class_names[label]]["f1"] for label in present]))

    @property
    def roc_auc(self) -> float | None:
        """Mean area under the ROC curve over the classes that have one; None if no class does."""
        return self._mean_of_classes("roc_auc")

    @property
    def average_precision(self) -> float | None:
        """Mean average precision over the classes that have one; None if no class does."""
        return self._mean_of_classes("average_precision")

    def _mean_of_classes(self, metric: Literal["roc_auc", "average_precision"]):
        known = [value for row in self.per_class.values() if (value := row[metric]) is not None]
        return float(np.mean(known)) if known else None

    @cached_property
    def losses(self) -> "NDArray[np.float64]":
        """(n,) float64, the cross-entropy of each example in nats; probabilities below 2.2e-16 count as 2.2e-16."""
        true = self.probabilities[np.arange(self.n), self.labels]
        return -np.log(np.maximum(true, np.finfo(float).eps))

    @property
    def log_loss(self) -> float:
        """Mean of the `losses`."""
        return float(self.losses.mean())

    def hardest(self, n: int) -> "NDArray[np.intp]":
        """(at most n,) int, the indices of the examples with the largest losses, the largest first."""
        return np.argsort(-self.losses, kind="stable")[:n]

    @property
    def brier(self) -> float:
        """Squared error of the probabilities, summed over classes, mean over examples, in [0, 2] (Brier, 1950)."""
        errors = np.empty(self.n)
        for rows in row_blocks(self.probabilities.shape):
            distance = self.probabilities[rows].astype(np.float64)
            distance[np.arange(len(distance)), self.labels[rows]] -= 1
            errors[rows] = (distance**2).sum(axis=1)
        return float(errors.mean())

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017).

        It is the mean absolute difference between confidence and accuracy over the `reliability` bins, weighted by
        their number of examples.
        """
        return sum(each.n * abs(each.accuracy - each.confidence) for each in self.reliability) / self.n

    @cached_property
    def reliability(self) -> list[ReliabilityBin]:
        """The bins of the reliability diagram: see `reliability_bins`."""
        return reliability_bins(self.confidence, self.hits, self.shared_groups)

    def coverage_curve(self) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Coverage (n,) and accuracy (n,) if the least confident examples are left to a person.

        See `metrics.coverage_curve`.
        """
        return coverage_curve(self.confidence, self.hits)

    @property
    def coverage(self) -> list[Coverage]:
        """Some points of the `coverage_curve`: see `coverage_table`."""
        return coverage_table(self.confidence, self.hits, self.shared_groups)

    @cached_property
    def logits(self) -> "NDArray[np.float64]":
        """(n, classes) float64, the logits before the temperature, up to a constant for each example."""
        return self._logits(slice(None))

    def _logits(self, rows):
        return np.log(np.maximum(self.probabilities[rows], np.finfo(float).tiny)) * self.temperature

    def at_temperature(self, temperature: float) -> "Report":
        """The report of the same logits at another temperature; 1 is the uncalibrated network.

        Raises:
            InputError: `temperature` is not a positive number.
        """
        if not 0 < temperature < np.inf:
            raise InputError(f"temperature must be positive and finite, got {temperature}")
        if temperature == self.temperature:
            return self
        probabilities = np.empty(self.probabilities.shape)
        for rows in row_blocks(probabilities.shape):
            probabilities[rows] = softmax(self._logits(rows), temperature)
        return replace(self, probabilities=probabilities, temperature=temperature)

    def scores(self) -> dict[str, Any]:
        """The metrics over all examples. "uncalibrated" has those that depend on the temperature, at temperature 1."""
        plain = self.at_temperature(1.0)
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "macro_f1": self.macro_f1,
            "roc_auc": self.roc_auc,
            "average_precision": self.average_precision,
            "log_loss": self.log_loss,
            "brier": self.brier,
            "ece": self.ece,
            "ece_bins": CALIBRATION_BINS,
            "temperature": self.temperature,
            "uncalibrated": {"log_loss": plain.log_loss, "brier": plain.brier, "ece": plain.ece},
            "coverage": _rows(self.coverage),
        }

    def metrics(self) -> dict[str, Any]:
        """All metrics, as in `metrics.json`: the `scores`, and the metrics by bin and by class.

        With more than `MOST_CLASSES` classes, "per_class" has the most frequent ones, and the largest cells replace the
        confusion matrix: see `Confusions`.
        """
        shown = [self.class_names[label] for label in self.confusions.in_tables]
        return {
            **self.scores(),
            "reliability": _rows(self.reliability),
            "most_confused": [pair._asdict() for pair in self.most_confused()],
            "per_class": {name: self.per_class[name] for name in shown},
            **self.confusions.as_json(),
            "class_names": list(self.class_names),
        }

    def summary(self) -> dict[str, str]:
        """The main metrics as text, by name."""
        low, high = self.accuracy_interval
        grouped = f" in {counted(self._group_count, 'group')}" if self._group_count < self.n else ""
        return {
            "accuracy": f"{self.accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%}, n = {self.n:,}{grouped})",
            "macro F1": f"{self.macro_f1:.4f}",
            "log loss": f"{self.log_loss:.4f}",
            "Brier score": f"{self.brier:.4f}",
            "calibration error": f"{self.ece:.4f}  ({CALIBRATION_BINS} bins)",
        }

    def __repr__(self) -> str:
        return f"Report: accuracy {self.summary()['accuracy']}"

    def __str__(self) -> str:
        return figures.report_text(self)

    def _repr_html_(self):
        """The HTML for a notebook; None without jinja2, and the notebook then shows the text."""
        with contextlib.suppress(MissingExtraError):
            return figures.report_html(self)

    def confusion_figure(self) -> "Figure":
        """The confusion matrix as a matplotlib figure: see `figures.confusion_figure`."""
        return figures.confusion_figure(self)


def _rows(table):
    """Rows as JSON values: dictionaries, with lists in place of tuples."""
    return [{**row._asdict(), "accuracy_interval": list(row.accuracy_interval)} for row in table]
