"""What the model card says is true, of copies among the evaluated images too."""

import json
import re

import numpy as np
import pytest

from ai_library import Classifier, ShapeDataSource, evaluate
from ai_library.reporting.findings import Findings, examine
from ai_library.reporting.page import report_page, write_findings
from ai_library.tests.model_files import small_classifier
from ai_library.tests.own_networks import Linear


class Leaking(ShapeDataSource):
    """Shapes of which as many in evaluation as `copies` says are known to be in an earlier split."""

    copies = 0

    def leaked(self, split):
        return np.arange(self.size(split)) < (self.copies if split == "evaluation" else 0)


def card(findings):
    """The model card of a page: its texts by name."""
    text = report_page(findings)
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text))


@pytest.mark.slow
@pytest.mark.parametrize("copies", [0, 5, 24])
def test_copies_in_earlier_splits_are_told_wherever_the_accuracy_is(classifier, tmp_path, copies):
    source = Leaking(seed=3, image_size=32, class_names=classifier.class_names, sizes=(9, 9, 24))
    source.copies = copies
    report = evaluate(classifier, source)
    found = examine(classifier, source, report)
    write_findings(found, tmp_path)
    told = json.loads((tmp_path / "metrics.json").read_text()).get("without_leaks", {"n": 24})
    assert told["n"] == 24 - copies
    limits = " ".join(found.limits)
    assert ("in earlier splits" in limits) == (copies > 0)
    assert ("accuracy on new images is not known" in limits) == (copies == 24)


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ({}, "50.00% on 60 images of the evaluation split"),
        (
            {"n": 40, "accuracy": 0.45},
            "50.00% on 60 images of the evaluation split; 20 of these have copies, or images of their group, "
            "in the training or validation images; 45.00% on the other 40",
        ),
        (
            {"n": 0},
            "50.00% on 60 images of the evaluation split; 60 of these have copies, or images of their group, in the "
            "training or validation images",
        ),
    ],
)
def test_the_accuracy_when_trained_tells_of_copies(without, told):
    metrics = {"evaluation": {"n": 60, "accuracy": 0.5, **({"without_leaks": without} if without else {})}}
    model = small_classifier(metrics=metrics)
    findings = Findings(classifier=model, images=1, report=None, hardest=[])
    assert card(findings)["Accuracy when trained"] == told


@pytest.mark.parametrize(("channels", "told"), [(1, "grey"), (2, "grey"), (3, "colour"), (4, "colour")])
def test_images_of_three_channels_or_more_are_called_colour(source, channels, told):
    network = Classifier(Linear(3), {"params": {}}, source.class_names, (16, 16, channels))
    assert (
        f"apart in {told} images" in card(Findings(classifier=network, images=1, report=None, hardest=[]))["Made for"]
    )
