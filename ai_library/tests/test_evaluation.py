"""The metrics agree with independent sources, and cover every example exactly once."""

import json

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import InputError, Report, ShapeDataSource, evaluate

NAMES = ("a", "b", "c")


@st.composite
def reports(draw):
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = rng.dirichlet([0.5] * 3, n)
    return Report(probabilities, rng.integers(0, 3, n), NAMES)


@settings(deadline=None)
@given(report=reports())
def test_metrics_agree_with_scikit_learn_and_hold_their_laws(report):
    labels, predictions = report.labels, report.probabilities.argmax(1)
    assert report.accuracy == sklearn.metrics.accuracy_score(labels, predictions)
    assert report.macro_f1 == pytest.approx(sklearn.metrics.f1_score(labels, predictions, average="macro"))
    probabilities = report.probabilities
    assert report.log_loss == pytest.approx(sklearn.metrics.log_loss(labels, probabilities, labels=range(3)))
    brier = sklearn.metrics.brier_score_loss(labels, probabilities, labels=range(3), scale_by_half=False)
    assert report.brier == pytest.approx(brier)
    wanted = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(3))
    np.testing.assert_array_equal(report.confusion_matrix, wanted)
    columns = sklearn.metrics.precision_recall_fscore_support(labels, predictions, labels=range(3), zero_division=0)
    np.testing.assert_allclose([list(row.values()) for row in report.per_class.values()], np.transpose(columns))
    low, high = report.accuracy_interval
    wanted = scipy.stats.binomtest(report.correct, report.n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert 0 <= low <= report.accuracy <= high <= 1


def test_a_probability_of_0_for_the_true_class_costs_a_finite_loss():
    report = Report(np.array([[1.0, 0.0]]), np.array([1]), ("yes", "no"))
    assert report.log_loss == pytest.approx(sklearn.metrics.log_loss([1], [[1.0, 0.0]], labels=[0, 1]))


def test_accuracy_interval_is_wilsons():
    """81 of 263: 0.2553 to 0.3662, the example of Newcombe, Statistics in Medicine 17 (1998), table I."""
    probabilities = np.tile([0.9, 0.1], (263, 1))
    report = Report(probabilities, np.array([0] * 81 + [1] * 182), ("yes", "no"))
    assert report.accuracy_interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_calibration_error_by_hand():
    """Two bins: 4 at confidence 0.9 of which 3 are right, 2 at 0.6 of which 2 are right."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    report = Report(probabilities, np.array([0, 0, 0, 1, 0, 0]), ("yes", "no"))
    assert report.ece == pytest.approx((4 * abs(0.75 - 0.9) + 2 * abs(1 - 0.6)) / 6)


@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_batch_size_changes_no_figure(classifier, source, batch_size):
    report, wanted = evaluate(classifier, source, batch_size=batch_size), evaluate(classifier, source, batch_size=201)
    assert report.n == 201
    np.testing.assert_array_equal(report.labels, wanted.labels)
    np.testing.assert_array_equal(report.probabilities, wanted.probabilities)
    assert report.metrics() == wanted.metrics()


def test_metrics_have_what_the_file_promises(classifier, source):
    metrics = json.loads(json.dumps(evaluate(classifier, source).metrics()))
    assert {
        "n", "accuracy", "accuracy_interval", "macro_f1", "log_loss", "brier", "ece", "per_class", "confusion_matrix",
        "class_names",
    } <= metrics.keys()  # fmt: skip


def test_printed_report_shows_figures_and_classes(classifier, source):
    report = evaluate(classifier, source)
    assert f"{report.accuracy:.2%}" in str(report)
    assert all(name in str(report) for name in source.class_names)


def test_a_model_for_other_classes_is_refused(classifier):
    with pytest.raises(InputError, match="made for the classes circle, rectangle, star, but the data has star, cross"):
        evaluate(classifier, ShapeDataSource(image_size=32, class_names=("star", "cross")))


def test_images_of_another_size_are_refused(classifier, source):
    with pytest.raises(InputError, match="this model takes"):
        classifier.predict(np.zeros((2, 16, 16, 1), np.uint8))


def test_no_images_give_no_probabilities(classifier):
    assert classifier.predict_proba(np.zeros((0, 32, 32, 1), np.uint8)).shape == (0, 3)


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(InputError, match="labels run from 0 to 3, the classes to 2"):
        Report(np.full((2, 3), 1 / 3), np.array([0, 3]), NAMES)
    with pytest.raises(InputError, match="1 prediction or more"):
        Report(np.zeros((0, 3)), np.zeros(0, int), NAMES)
