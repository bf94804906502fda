"""How good a classifier is, and how sure that figure is: `evaluate` gives a `Report`.

The metrics are a line or two of numpy each, tested against scikit-learn and scipy, whose import takes longer than
predicting thousands of images.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from .classifier import softmax
from .errors import InputError

CALIBRATION_BINS = 15


def evaluate(classifier, source, split="evaluation", batch_size=128):
    """The `Report` of a classifier on every example of a split, each counted once.

    `batch_size` is how many images are fetched from the source at a time; it changes no figure. Raises `InputError`
    where the classifier was made for other classes or images than the source has.
    """
    if classifier.class_names != source.class_names:
        raise InputError(
            f"the model was made for the classes {', '.join(classifier.class_names)}, but the data has "
            f"{', '.join(source.class_names)}: use a model that was trained on them"
        )
    labels = []

    def images():
        for batch, batch_labels in source.batches(split, batch_size):
            labels.append(batch_labels)
            yield batch

    logits = np.concatenate(list(classifier.predict_logits(images())))
    return Report(softmax(logits), np.concatenate(labels), source.class_names)


@dataclass(frozen=True, eq=False)
class Report:
    """The metrics of n predictions. `print(report)` shows the main ones, `metrics()` has them all."""

    probabilities: np.ndarray
    """(n, classes) float64, each row with the sum 1."""
    labels: np.ndarray
    """(n,) int: the true classes."""
    class_names: tuple[str, ...]

    def __post_init__(self):
        n, classes = self.probabilities.shape
        if n < 1 or self.labels.shape != (n,) or classes != len(self.class_names):
            raise InputError(
                f"{self.labels.shape} labels and {self.probabilities.shape} probabilities do not fit together "
                f"with {len(self.class_names)} classes: a report needs 1 prediction or more, each with its label"
            )
        if not np.isfinite(self.probabilities).all():
            raise InputError("the network's outputs are not finite: train it with a lower learning rate")
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

    @property
    def correct(self) -> int:
        return int((self.predictions == self.labels).sum())

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson, JASA 22, 1927): where it would lie on endlessly many examples."""
        z = NormalDist().inv_cdf(0.975)
        middle = (self.correct + z**2 / 2) / (self.n + z**2)
        half = z / (self.n + z**2) * (self.correct * (self.n - self.correct) / self.n + z**2 / 4) ** 0.5
        return max(0.0, middle - half), min(1.0, middle + half)

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """(classes, classes) int: row the true class, column the predicted one."""
        classes = len(self.class_names)
        pairs = self.labels * classes + self.predictions
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @cached_property
    def per_class(self) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and support of every class; 0 where a class was never predicted or never there."""
        support, predicted = self.confusion_matrix.sum(axis=1), self.confusion_matrix.sum(axis=0)
        right = self.confusion_matrix.diagonal()
        precision, recall = right / np.maximum(predicted, 1), right / np.maximum(support, 1)
        f1 = 2 * right / np.maximum(support + predicted, 1)
        return {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(self.class_names, precision, recall, f1, support, strict=True)
        }

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are among the labels or the predictions."""
        present = np.union1d(self.labels, self.predictions)
        return float(np.mean([self.per_class[self.class_names[label]]["f1"] for label in present]))

    @property
    def log_loss(self) -> float:
        """Mean negative natural logarithm of the true class's probability, which counts as 2.2e-16 at least."""
        true = self.probabilities[np.arange(self.n), self.labels]
        return float(-np.log(np.maximum(true, np.finfo(float).eps)).mean())

    @property
    def brier(self) -> float:
        """Mean squared error of the probabilities, summed over the classes: from 0 to 2 (Brier, 1950)."""
        true = np.eye(len(self.class_names))[self.labels]
        return float(((self.probabilities - true) ** 2).sum(axis=1).mean())

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance between confidence and accuracy, over `CALIBRATION_BINS` equally
        wide bins of confidence, weighted by their counts (Guo et al., ICML 2017).
        """
        confidence = self.probabilities.max(axis=1)
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        gaps = np.bincount(bins, weights=(self.predictions == self.labels) - confidence, minlength=CALIBRATION_BINS)
        return float(np.abs(gaps).sum() / self.n)

    def metrics(self) -> dict:
        """All figures, as `metrics.json` has them."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "brier": self.brier,
            "ece": self.ece,
            "ece_bins": CALIBRATION_BINS,
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

    def __str__(self):
        width = max(map(len, (*self.class_names, "class")))
        lines = [f"{name:<18}{value}" for name, value in self.summary().items()]
        lines += ["", f"{'class':<{width}}  precision  recall      F1  support"]
        for name, row in self.per_class.items():
            lines.append(
                f"{name:<{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:6.4f}  {row['support']:7,}"
            )
        return "\n".join(lines)

    def confusion_figure(self):
        """A matplotlib figure of the confusion matrix: counts, shaded by the share of their row."""
        from matplotlib.figure import Figure

        count = self.confusion_matrix
        share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        side = 2.5 + 0.5 * len(count)
        figure = Figure(figsize=(side, side), layout="constrained")
        axis = figure.add_subplot()
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(count):
            if value:
                colour = "white" if share[row, column] > 0.5 else "black"
                axis.text(column, row, f"{value:,}", ha="center", va="center", fontsize=8, color=colour)
        ticks = range(len(count))
        axis.set_xticks(ticks, self.class_names, rotation=45, ha="right")
        axis.set_yticks(ticks, self.class_names)
        axis.set(xlabel="predicted", ylabel="true", title=f"accuracy {self.accuracy:.2%}, n = {self.n:,}")
        return figure
