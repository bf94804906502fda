"""`Findings`: the results of a classifier on a set of images, as the page `report.html` shows them."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..evaluation.corruptions import CorruptedAccuracy, evaluate_corrupted
from ..evaluation.report import Report
from ..evaluation.slices import AccuracyRow, Slice, accuracy_by, find_slices
from ..files.text import listed
from ..networks.classifier import Classifier

if TYPE_CHECKING:
    from ..data.source import DataSource

HARDEST = 24
"""Number of examples on a page."""
_FEW = 30


class Example(NamedTuple):
    """An image with its label and its prediction."""

    name: str
    image: np.ndarray
    """(h, w, c) uint8."""
    true: str
    predicted: str
    confidence: float
    loss: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """The results of `predict_samples`, or of the evaluation after a training."""

    classifier: Classifier
    images: int
    unreadable: int = 0
    fault: str = ""
    """The first image that cannot be read, and the reason."""
    remarks: dict[str, int] = field(default_factory=dict)
    """Remarks on how images were read, each with the number of images: see `ReadFile`."""
    report: Report | None
    """The report on the readable images with a label; None if there are none."""
    hardest: list[Example]
    """Up to `HARDEST` of these images, the largest loss first."""
    command: str = ""
    """The shell command that made the findings; "" if unknown."""
    source: "DataSource | None" = None
    """The data source of a training that has just ended; else None."""
    factors: dict[str, np.ndarray] | None = None
    """The factors of the report's images, as `find_slices` takes them; None if unknown."""
    leaked: np.ndarray | None = None
    """(n,) bool, which of the report's examples have a copy or their group in an earlier split; None if unknown."""
    corruptions: list[CorruptedAccuracy] | None = None
    """The result of `evaluate_corrupted`; None if it was not run."""

    @cached_property
    def without_leaks(self) -> Report | None:
        """The report on the examples that are not `leaked`; None if all or none are."""
        if self.report is None or self.leaked is None or self.leaked.all() or not self.leaked.any():
            return None
        return self.report.only(~self.leaked)

    @cached_property
    def slices(self) -> list[Slice]:
        """The slices with significantly more errors: see `find_slices`. Empty if the factors are unknown."""
        if self.report is None or not self.factors:
            return []
        return find_slices(self.report.hits, self.factors, self.report.shared_groups)

    @cached_property
    def accuracy_by_factor(self) -> dict[str, list[AccuracyRow]]:
        """The accuracy in the parts of every factor with two or more parts."""
        if self.report is None or self.factors is None:
            return {}
        hits, groups = self.report.hits, self.report.shared_groups
        rows = {name: accuracy_by(hits, values, groups) for name, values in self.factors.items()}
        return {name: parts for name, parts in rows.items() if len(parts) > 1}

    @cached_property
    def most_telling(self) -> list[str]:
        """The one or two factors whose parts differ most in accuracy, by Pearson's chi-square per degree of freedom.

        Empty if all examples are right, or all are wrong.
        """

        def evidence(name):
            n, correct = np.array([(row.n, row.correct) for row in self.accuracy_by_factor[name]]).T
            accuracy = correct.sum() / n.sum()
            if accuracy in (0, 1):
                return 0.0
            chi_square = (n * (correct / n - accuracy) ** 2).sum() / (accuracy * (1 - accuracy))
            return chi_square / (len(n) - 1)

        told = {name: evidence(name) for name in self.accuracy_by_factor}
        return sorted((name for name in told if told[name] > 0), key=lambda name: -told[name])[:2]

    @cached_property
    def limits(self) -> list[str]:
        """The limitations of the classifier, as sentences, those that were measured first."""
        return [*self._measured_limits(), *self._general_limits()]

    def _measured_limits(self):
        if self.report is None:
            return
        classes = self.report.per_class.items()
        low, high = self.report.accuracy_interval
        yield (
            f"It was tried on {self.report.n:,} images. The 95 % interval of its accuracy on all such images is "
            f"{low:.2%} to {high:.2%}."
        )
        if clean := self.without_leaks:
            low, high = clean.accuracy_interval
            yield (
                f"{self.report.n - clean.n:,} of the images have copies, or images of their group, in earlier splits. "
                f"Without these the accuracy is {clean.accuracy:.2%}, between {low:.2%} and {high:.2%} (n = "
                f"{clean.n:,})."
            )
        elif self.leaked is not None and self.leaked.any():
            yield (
                "All of the images have copies, or images of their group, in earlier splits: the accuracy on new "
                "images is not known."
            )
        seen = [(row["recall"], name, row["support"]) for name, row in classes if row["support"]]
        recall, name, support = min(seen)
        if recall < 1:
            yield f"Weakest class: of {support:,} images of {name}, {recall:.2%} were recognised."
        if few := [name for name, row in classes if row["support"] < _FEW]:
            yield f"Fewer than {_FEW} images, so their figures are rough: {listed(few, 5)}."
        for weak in islice(self.slices, 3):
            yield f"Weak slice: {weak.name}; accuracy {weak.accuracy:.2%} (n = {weak.n:,})."
        if self.factors and not self.slices:
            yield "No slice of the images has more errors than chance explains."
        if self.corruptions:
            whole, worst = self.corruptions[0], sorted(self.corruptions[1:], key=lambda row: row.accuracy)
            kinds = [row for i, row in enumerate(worst) if row.kind not in {each.kind for each in worst[:i]}][:3]
            text = ", ".join(f"{row.accuracy:.1%} with {row.kind} of severity {row.severity}" for row in kinds)
            yield f"It is hurt most by: {text}; {whole.accuracy:.1%} without (n = {whole.n:,})."

    def _general_limits(self):
        yield (
            f"It knows its {len(self.classifier.class_names)} classes and no others: an image of anything else still "
            "gets one of them, at times with high confidence."
        )
        yield "Images that differ from those it was trained on, by camera, scan or style, may be recognised less often."


def examine(
    classifier: Classifier, source: "DataSource", report: Report, command: str = "", *, verbose: bool = False
) -> Findings:
    """Makes the findings from the `report` of a classifier on the evaluation split of its source.

    If the source knows the factors of its images, weak slices are searched for; else corruptions are tried. `verbose`
    shows their progress.
    """
    from ..data.shapes import factor_table  # imports JAX, which predicting a few images does not need

    split = "evaluation"
    factors = factor_table(source, split)
    return Findings(
        classifier=classifier,
        images=report.n,
        report=report,
        hardest=_hardest(report, source, split),
        command=command,
        source=source,
        factors=factors,
        leaked=source.leaked(split),
        corruptions=None if factors else evaluate_corrupted(classifier, source, split, verbose=verbose),
    )


def leaks_as_json(report: Report, leaked: np.ndarray | None) -> dict[str, Any]:
    """An entry of metrics on the report's examples that are not `leaked`, (n,) bool; {} if all are not.

    "without_leaks" has "n", "accuracy" and "accuracy_interval" of these examples; only "n", 0, if there are none.
    """
    if leaked is None or not leaked.any():
        return {}
    if leaked.all():
        return {"without_leaks": {"n": 0}}
    clean = report.only(~leaked)
    interval = list(clean.accuracy_interval)
    return {"without_leaks": {"n": clean.n, "accuracy": clean.accuracy, "accuracy_interval": interval}}


def leaks_told(classifier: Classifier) -> str:
    """What the metrics of a classifier tell of leaks among the images of its evaluation; "" if there are none."""
    tried, clean = (classifier.metric("evaluation", *names, "n") for names in ((), ("without_leaks",)))
    if tried is None or clean is None:
        return ""
    told = f"{tried - clean:,} of these have copies, or images of their group, in the training or validation images"
    accuracy = classifier.metric("evaluation", "without_leaks", "accuracy")
    return told if accuracy is None else f"{told}; {accuracy:.2%} on the other {clean:,}"


def _hardest(report, source, split):
    """The `HARDEST` examples of the split of `report`."""
    indices = report.hardest(HARDEST)
    images, _ = source.examples(split, indices)
    return [
        Example(
            f"{split} {index}",
            image,
            report.class_names[report.labels[index]],
            report.class_names[report.predictions[index]],
            float(report.confidence[index]),
            float(report.losses[index]),
        )
        for index, image in zip(indices, images, strict=True)
    ]
