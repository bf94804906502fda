"""A classifier gives numbers or says that it cannot, and its metrics are read with care."""

import flax.linen as nn
import numpy as np
import pytest

from ai_library import ArrayDataSource, Classifier, InputError, Report, evaluate, load_model, save_model
from ai_library.data.folders.samples import Sample
from ai_library.reporting.findings import Findings
from ai_library.reporting.page import report_page
from ai_library.reporting.predictions import predict_samples
from ai_library.tests.model_files import small_classifier

NEGATIVE = -1.0
"""As a variance, of which there is no root."""
MESSAGE = "gives nan or infinity for these images"


class Exponential(nn.Module):
    """Finite weights of any size give infinity for light images, and numbers for black ones."""

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(2)(nn.relu(images + 0.5).reshape(len(images), -1) * 1e30)


def exponential():
    params = {"Dense_0": {"kernel": np.full((256, 2), 1e30, np.float32), "bias": np.zeros(2, np.float32)}}
    return Classifier(Exponential(), {"params": params}, ("a", "b"), (16, 16, 1))


@pytest.mark.parametrize("label", [None, 1])
@pytest.mark.parametrize("n", [1, 255, 300], ids=["numpy", "numpy, two blocks", "JAX"])
def test_finite_weights_that_give_no_numbers_are_refused_before_anything_is_written(tmp_path, label, n):
    save_model(tmp_path / "m.msgpack", small_classifier(fill=NEGATIVE))
    classifier = load_model(tmp_path / "m.msgpack")
    samples = [Sample(f"{i}", label, np.full((16, 16, 1), i % 256, np.uint8)) for i in range(n)]
    with pytest.raises(InputError, match=f"m.msgpack {MESSAGE}.*: train it with a lower learning rate"):
        predict_samples(classifier, samples, tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]


def test_the_first_image_without_numbers_ends_a_prediction_of_many(tmp_path):
    samples = [Sample(f"{i}", None, np.full((16, 16, 1), 255 * (i == 290), np.uint8)) for i in range(300)]
    with pytest.raises(InputError, match=f"the network {MESSAGE}"):
        predict_samples(exponential(), samples, tmp_path / "out")
    predict_samples(exponential(), samples[:290], tmp_path / "out")
    with pytest.raises(InputError, match=MESSAGE):
        predict_samples(exponential(), samples, tmp_path / "out")
    assert (tmp_path / "out/predictions.csv").read_text().count("\n") == 291


def test_every_way_to_ask_a_classifier_refuses_them():
    light = np.full((3, 16, 16, 1), 255, np.uint8)
    source = ArrayDataSource(train=(light, [0, 1, 0]), evaluation=(light, [0, 1, 0]), class_names=("a", "b"))
    for classifier in (small_classifier(fill=NEGATIVE), small_classifier(fill=1e30), exponential()):
        for ask in (classifier.predict, classifier.predict_proba):
            with pytest.raises(InputError, match=f"the network {MESSAGE}"):
                ask(light)
        with pytest.raises(InputError, match=MESSAGE):
            evaluate(classifier, source)
    with pytest.raises(InputError, match=MESSAGE):
        small_classifier(fill=NEGATIVE).features(light)


ODD = [
    {"evaluation": {"accuracy": 10**400, "n": 10**400, "accuracy_interval": [10**400, -(10**400)]}},
    {"evaluation": {"accuracy": 1e308, "n": -1.5, "accuracy_interval": [0, 1]}, "validation": {"epoch": 1e-320}},
    {"evaluation": {"accuracy": "0.9", "n": True, "accuracy_interval": {"0": 1}}},
    {"evaluation": [1, 2], "validation": "validation_accuracy"},
    {"validation": {"validation_accuracy": 10**400, "epoch": [3]}},
    {"evaluation": 7},
]


@pytest.mark.parametrize("metrics", ODD)
def test_whatever_a_file_has_as_metrics_the_page_is_made(tmp_path, metrics):
    save_model(tmp_path / "m.msgpack", small_classifier(metrics=metrics))
    classifier = load_model(tmp_path / "m.msgpack")
    assert classifier.metrics == metrics
    for names in (("evaluation", "accuracy"), ("evaluation", "n"), ("evaluation", "accuracy_interval", 0), ("none",)):
        value = classifier.metric(*names)
        assert value is None or abs(value) <= 2**53
    findings = Findings(classifier=classifier, images=1, report=None, hardest=[])
    assert len(report_page(findings)) < 20_000


def test_metrics_of_the_usual_form_are_found():
    classifier = small_classifier(metrics={"evaluation": {"accuracy": 0.5, "n": 10_000, "accuracy_interval": [0, 1]}})
    assert classifier.metric("evaluation", "accuracy") == 0.5
    assert classifier.metric("evaluation", "n") == 10_000
    assert classifier.metric("evaluation", "accuracy_interval", 1) == 1
    assert classifier.metric("evaluation") is None


@pytest.mark.parametrize(
    ("coverage", "threshold"),
    [
        ([{"coverage": 1.0, "confidence": 0.4}, {"coverage": 0.99, "confidence": 0.85}], 0.85),
        ([{"coverage": 1.0, "confidence": 0.4}, {"coverage": 0.95, "confidence": 0.99}], None),
        ([{"coverage": 1.0, "confidence": 0.4}, "a row", {"coverage": 0.99, "confidence": 0.85}], None),
        ([{"coverage": 0.99, "confidence": 8.5}], None),
        ([{"coverage": 0.99}], None),
        ({"0.99": 0.85}, None),
        ([{"coverage": 1.0, "confidence": 0.4}, {"coverage": 0.9, "confidence": 0.85}], None),
        (None, None),
    ],
)
def test_the_table_of_coverage_says_below_which_confidence_to_abstain(coverage, threshold):
    assert small_classifier(metrics={"evaluation": {"coverage": coverage}}).abstain_below == threshold


def test_the_shipped_rule_leaves_a_hundredth_of_the_evaluation_images_to_a_person():
    for n, coverage in ((1000, 0.99), (450, 446 / 450)):
        probabilities = np.random.default_rng(0).dirichlet(np.ones(3), n)
        report = Report(probabilities=probabilities, labels=np.zeros(n, int), class_names=("a", "b", "c"))
        classifier = small_classifier(metrics={"evaluation": report.scores()})
        assert np.mean(report.confidence >= classifier.abstain_below) == coverage
