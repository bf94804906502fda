"""How good a classifier is, and how sure that figure is: `evaluate` gives a `Report`.

The metrics are a line or two of numpy each, tested against scikit-learn and scipy, whose import takes longer than
predicting thousands of images.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..errors import InputError, whole_number
from ..networks.probabilities import softmax
from ..runtime.distributed import gathered, share
from .calibration import CALIBRATION_BINS, ReliabilityBin, reliability_bins
from .intervals import wilson_interval
from .ranking import Coverage, coverage_curve, coverage_table, roc_auc_and_average_precision

MAX_MATRIX = 40
"""Classes up to which there is room for the names and counts of a confusion matrix."""


def evaluate(classifier, source, split="evaluation", batch_size=128):
    """The `Report` of a classifier on every example of a split, each counted once.

    `batch_size` is how many images are fetched from the source at a time; it changes no figure. Raises `InputError`
    where the classifier was made for other classes or images than the source has. Of several processes (see
    `distributed`) each predicts its share, and all return the same report.
    """
    check_same_classes(classifier, source)
    batch_size = whole_number("batch_size", batch_size, 1, 2**31)
    own = share(source.size(split), classifier.BLOCK)
    labels = [np.zeros(0, np.int32)]

    def images():
        for start in range(own.start, own.stop, batch_size):
            batch, batch_labels = source.examples(split, range(start, min(start + batch_size, own.stop)))
            labels.append(batch_labels)
            yield batch

    logits = [np.zeros((0, source.num_classes), np.float32), *classifier.predict_logits(images(), shared=True)]
    logits, labels = map(np.concatenate, zip(*gathered([np.concatenate(logits), np.concatenate(labels)]), strict=True))
    return Report(classifier.probabilities(logits), labels, source.class_names, classifier.temperature)


def check_same_classes(classifier, source):
    """Raises `InputError` unless a classifier was made for the classes of a source."""
    if classifier.class_names != source.class_names:
        raise InputError(
            f"the model was made for the classes {', '.join(classifier.class_names)}, but the data has "
            f"{', '.join(source.class_names)}: use a model that was trained on them"
        )


class Confusion(NamedTuple):
    """Examples of the class `true` that were taken for the class `predicted`."""

    true: str
    predicted: str
    count: int
    share: float
    """Of the examples of the true class."""


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The metrics of n predictions. `print(report)` shows the main ones, `metrics()` has them all."""

    probabilities: np.ndarray
    """(n, classes) float64, each row with the sum 1."""
    labels: np.ndarray
    """(n,) int: the true classes."""
    class_names: tuple[str, ...]
    temperature: float = 1.0
    """What the logits were divided by on the way to the probabilities."""

    def __post_init__(self):
        n, classes = self.probabilities.shape
        if n < 1 or self.labels.shape != (n,) or classes != len(self.class_names):
            raise InputError(
                f"{self.labels.shape} labels and {self.probabilities.shape} probabilities do not fit together "
                f"with {len(self.class_names)} classes: a report needs 1 prediction or more, each with its label"
            )
        if not np.isfinite(self.probabilities).all():
            raise InputError("the network's outputs are not finite: train it with a lower learning rate")
        if self.probabilities.min() < 0 or self.probabilities.max() > 1 + 1e-6:  # a float32 may be a little more
            raise InputError("these are no probabilities, from 0 to 1: of logits, take their softmax")
        if not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise InputError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, the classes to {classes - 1}"
            )

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> np.ndarray:
        """(n,) int: the most probable classes."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(n,) float64: the probabilities of the predictions."""
        return self.probabilities.max(axis=1)

    @cached_property
    def hits(self) -> np.ndarray:
        """(n,) bool: which predictions are right."""
        return self.predictions == self.labels

    @property
    def correct(self) -> int:
        return int(self.hits.sum())

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """See `wilson_interval`."""
        return wilson_interval(self.correct, self.n)

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """(classes, classes) int: row the true class, column the predicted one."""
        classes = len(self.class_names)
        pairs = self.labels * classes + self.predictions
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def most_confused(self, n: int = 10) -> list[Confusion]:
        """The up to n pairs of a true and a predicted class with the most errors, the largest first."""
        errors = self.confusion_matrix - np.diag(self.confusion_matrix.diagonal())
        names, shares = self.class_names, errors / np.maximum(self.confusion_matrix.sum(axis=1, keepdims=True), 1)
        largest = np.argsort(-errors, axis=None, kind="stable")[: min(n, np.count_nonzero(errors))]
        return [
            Confusion(names[row], names[column], int(errors[row, column]), float(shares[row, column]))
            for row, column in zip(*np.unravel_index(largest, errors.shape), strict=True)
        ]

    @cached_property
    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Precision, recall, F1 and support of every class, 0 where a class was never predicted or never there; and how
        well its probability tells it from the rest, None where all the labels or none of them are this class.
        """
        support, predicted = self.confusion_matrix.sum(axis=1), self.confusion_matrix.sum(axis=0)
        right = self.confusion_matrix.diagonal()
        precision, recall = right / np.maximum(predicted, 1), right / np.maximum(support, 1)
        f1 = 2 * right / np.maximum(support + predicted, 1)
        rows = {}
        for label, name in enumerate(self.class_names):
            roc_auc, average_precision = roc_auc_and_average_precision(
                self.probabilities[:, label], self.labels == label
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
        """Mean F1 of the classes that are among the labels or the predictions."""
        present = np.union1d(self.labels, self.predictions)
        return float(np.mean([self.per_class[self.class_names[label]]["f1"] for label in present]))

    @property
    def roc_auc(self) -> float | None:
        """Mean area under the ROC curve of each class against the rest, over the classes that have one."""
        return self._mean_of_classes("roc_auc")

    @property
    def average_precision(self) -> float | None:
        """Mean average precision of each class against the rest, over the classes that have one."""
        return self._mean_of_classes("average_precision")

    def _mean_of_classes(self, metric):
        known = [row[metric] for row in self.per_class.values() if row[metric] is not None]
        return float(np.mean(known)) if known else None

    @cached_property
    def losses(self) -> np.ndarray:
        """(n,): negative natural logarithm of the true class's probability, which counts as 2.2e-16 at least."""
        true = self.probabilities[np.arange(self.n), self.labels]
        return -np.log(np.maximum(true, np.finfo(float).eps))

    @property
    def log_loss(self) -> float:
        """Mean of the `losses`."""
        return float(self.losses.mean())

    def hardest(self, n: int) -> np.ndarray:
        """(n,) int: the indices of the examples with the largest loss, the largest first."""
        return np.argsort(-self.losses, kind="stable")[:n]

    @property
    def brier(self) -> float:
        """Mean squared error of the probabilities, summed over the classes: from 0 to 2 (Brier, 1950)."""
        true = np.eye(len(self.class_names))[self.labels]
        return float(((self.probabilities - true) ** 2).sum(axis=1).mean())

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance between the confidence and the accuracy of the `reliability` bins,
        weighted by their counts (Guo et al., ICML 2017).
        """
        return sum(each.n * abs(each.accuracy - each.confidence) for each in self.reliability) / self.n

    @cached_property
    def reliability(self) -> list[ReliabilityBin]:
        """What each confidence was worth: see `reliability_bins`."""
        return reliability_bins(self.confidence, self.hits)

    def coverage_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Coverage (n,) and accuracy (n,) where the least certain examples are left to a person."""
        return coverage_curve(self.confidence, self.hits)

    @property
    def coverage(self) -> list[Coverage]:
        """Points of the `coverage_curve`: see `coverage_table`."""
        return coverage_table(self.confidence, self.hits)

    @cached_property
    def logits(self) -> np.ndarray:
        """(n, classes) float64: logits that give the probabilities, but for a constant of each example."""
        return np.log(np.maximum(self.probabilities, np.finfo(float).tiny)) * self.temperature

    def at_temperature(self, temperature: float) -> "Report":
        """The report of the same logits divided by another temperature; by 1, that of the network as it was trained."""
        if not 0 < temperature < np.inf:
            raise InputError(f"temperature={temperature} does not fit: it needs to be above 0")
        return replace(self, probabilities=softmax(self.logits / temperature), temperature=temperature)

    def scores(self) -> dict:
        """The figures of all predictions together; "uncalibrated" those that the temperature changes, at 1."""
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
        }

    def metrics(self) -> dict:
        """All figures, as `metrics.json` has them: the `scores`, and those of bins, coverages and classes."""
        return {
            **self.scores(),
            "reliability": _rows(self.reliability),
            "coverage": _rows(self.coverage),
            "most_confused": [pair._asdict() for pair in self.most_confused()],
            "per_class": self.per_class,
            "confusion_matrix": self.confusion_matrix.tolist(),
            "class_names": list(self.class_names),
        }

    def summary(self) -> dict[str, str]:
        """The main figures with their names, as a person would like to read them."""
        low, high = self.accuracy_interval
        return {
            "accuracy": f"{self.accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%}, n = {self.n:,})",
            "macro F1": f"{self.macro_f1:.4f}",
            "log loss": f"{self.log_loss:.4f}",
            "Brier score": f"{self.brier:.4f}",
            "calibration error": f"{self.ece:.4f}  ({CALIBRATION_BINS} bins)",
        }

    def __repr__(self):
        return f"Report: accuracy {self.summary()['accuracy']}"

    def __str__(self):
        width = max(map(len, (*self.class_names, "class")))
        lines = [f"{name:<18}{value}" for name, value in self.summary().items()]
        lines += ["", f"{'class':<{width}}  precision  recall      F1  support"]
        for name, row in self.per_class.items():
            lines.append(
                f"{name:<{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:6.4f}  {row['support']:7,}"
            )
        return "\n".join(lines)

    def _repr_html_(self):
        """What a notebook shows."""
        from ..reporting.notebook import report_html

        return report_html(self)

    def confusion_figure(self):
        """A matplotlib figure of the confusion matrix: counts, shaded by the share of their row.

        Of more than `MAX_MATRIX` classes it shows the shades alone, by the classes' numbers.
        """
        from matplotlib.figure import Figure

        count = self.confusion_matrix
        share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        side = 2.5 + 0.5 * min(len(count), MAX_MATRIX)
        figure = Figure(figsize=(side, side), layout="constrained")
        axis = figure.add_subplot()
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if len(count) <= MAX_MATRIX:
            for (row, column), value in np.ndenumerate(count):
                if value:
                    colour = "white" if share[row, column] > 0.5 else "black"
                    axis.text(column, row, f"{value:,}", ha="center", va="center", fontsize=8, color=colour)
            ticks = range(len(count))
            axis.set_xticks(ticks, self.class_names, rotation=45, ha="right", parse_math=False)
            axis.set_yticks(ticks, self.class_names, parse_math=False)
        axis.set(xlabel="predicted", ylabel="true", title=f"accuracy {self.accuracy:.2%}, n = {self.n:,}")
        return figure


def _rows(table):
    """A table as JSON reads it back."""
    return [{**row._asdict(), "accuracy_interval": list(row.accuracy_interval)} for row in table]
