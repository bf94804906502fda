"""The metrics agree with independent sources, and cover every example exactly once."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import InputError, Report, ShapeDataSource, evaluate
from ai_library.evaluation.intervals import wilson_interval

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
    for name, wanted in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        np.testing.assert_allclose([row[name] for row in report.per_class.values()], wanted)
    low, high = report.accuracy_interval
    wanted = scipy.stats.binomtest(report.correct, report.n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert 0 <= low <= report.accuracy <= high <= 1


@settings(deadline=None)
@given(report=reports(), decimals=st.integers(0, 3))
def test_one_vs_rest_metrics_agree_with_scikit_learn(report, decimals):
    report = replace(report, probabilities=report.probabilities.round(decimals))  # few decimals: many ties
    peers = {"roc_auc": sklearn.metrics.roc_auc_score, "average_precision": sklearn.metrics.average_precision_score}
    for metric, peer in peers.items():
        known = []
        for label, name in enumerate(NAMES):
            positive = report.labels == label
            if positive.all() or not positive.any():
                assert report.per_class[name][metric] is None
            else:
                known.append(peer(positive, report.probabilities[:, label]))
                assert report.per_class[name][metric] == pytest.approx(known[-1])
        assert report.metrics()[metric] == (pytest.approx(np.mean(known)) if known else None)


@settings(deadline=None)
@given(report=reports(), decimals=st.integers(0, 3), shuffle=st.randoms())
def test_the_coverage_curve_is_that_of_all_orders_of_equal_confidences(report, decimals, shuffle):
    report = replace(report, probabilities=report.probabilities.round(decimals))
    coverage, accuracy = report.coverage_curve()
    assert accuracy[-1] == pytest.approx(report.accuracy)
    np.testing.assert_allclose(coverage, np.arange(1, report.n + 1) / report.n)
    order = shuffle.sample(range(report.n), report.n)
    shuffled = replace(report, probabilities=report.probabilities[order], labels=report.labels[order])
    np.testing.assert_allclose(shuffled.coverage_curve()[1], accuracy)
    # where no confidence is shared, the most certain k are well defined
    if len(np.unique(report.confidence)) == report.n:
        certain_first = report.hits[np.argsort(-report.confidence)]
        np.testing.assert_allclose(accuracy, [certain_first[:k].mean() for k in range(1, report.n + 1)])


def test_equal_confidences_share_their_accuracy_in_the_coverage_curve():
    """1 right at 0.9; then 4 at 0.6, of which 1 is right: each of them counts a quarter."""
    probabilities = np.array([[0.9, 0.1]] + [[0.6, 0.4]] * 4)
    report = Report(probabilities, np.array([0, 0, 1, 1, 1]), ("yes", "no"))
    np.testing.assert_allclose(report.coverage_curve()[1], [1, 1.25 / 2, 1.5 / 3, 1.75 / 4, 2 / 5])


def test_coverage_is_tabulated_with_its_intervals():
    """Of 100, 5 are wrong and the least certain: without the last tenth all are right."""
    confidence = np.linspace(0.99, 0.6, 100)
    report = Report(np.stack([confidence, 1 - confidence], axis=1), np.repeat([0, 1], [95, 5]), ("yes", "no"))
    assert [(row.coverage, row.n, row.accuracy) for row in report.coverage] == [
        (1.0, 100, 0.95), (0.99, 99, 95 / 99), (0.95, 95, 1.0), (0.9, 90, 1.0), (0.8, 80, 1.0),
    ]  # fmt: skip
    assert report.coverage[0].accuracy_interval == report.accuracy_interval
    assert report.coverage[3].confidence == confidence[89]


def test_the_most_confused_pairs_come_first():
    labels, predictions = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 1, 0, 2, 2])
    report = Report(np.eye(3)[predictions], labels, NAMES)
    assert report.most_confused() == [("a", "b", 2, 0.5), ("a", "c", 1, 0.25), ("b", "a", 1, 0.5)]
    assert report.most_confused(1) == [("a", "b", 2, 0.5)]


def test_the_hardest_examples_have_the_largest_loss():
    report = Report(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([1, 1, 1]), ("yes", "no"))
    assert report.hardest(2).tolist() == [0, 2]
    assert report.hardest(9).tolist() == [0, 2, 1]


def test_reliability_counts_every_example_in_the_bin_of_its_confidence():
    """3 at 0.95, of which 2 are right, in the last bin of fifteen; 1 at 0.6, right, in the tenth."""
    probabilities = np.array([[0.95, 0.05]] * 3 + [[0.601, 0.399]])
    report = Report(probabilities, np.array([0, 0, 1, 0]), ("yes", "no"))
    low, high = report.reliability
    assert (low.n, low.confidence, low.accuracy) == (1, pytest.approx(0.601), 1)
    assert (high.n, high.confidence, high.accuracy) == (3, pytest.approx(0.95), pytest.approx(2 / 3))
    assert (high.low, high.high) == (14 / 15, 1)
    wanted = scipy.stats.binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert high.accuracy_interval == pytest.approx((wanted.low, wanted.high))


@settings(deadline=None)
@given(report=reports(), temperature=st.floats(0.1, 10))
def test_another_temperature_changes_the_confidence_but_no_prediction(report, temperature):
    other = report.at_temperature(temperature)
    np.testing.assert_allclose(other.probabilities.sum(axis=1), 1)
    # gaps that rounding closes are no order
    sure = np.diff(np.sort(report.probabilities, axis=1), axis=1)[:, -1] > 1e-9
    np.testing.assert_array_equal(other.predictions[sure], report.predictions[sure])
    logits = np.log(report.probabilities)
    np.testing.assert_allclose(other.probabilities, scipy.special.softmax(logits / temperature, axis=1), atol=1e-12)


@pytest.mark.parametrize("temperature", [0, -1, np.inf, np.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(InputError, match="needs to be above 0"):
        Report(np.array([[1.0, 0.0]]), np.array([1]), ("yes", "no")).at_temperature(temperature)


def test_a_probability_of_0_for_the_true_class_costs_a_finite_loss():
    report = Report(np.array([[1.0, 0.0]]), np.array([1]), ("yes", "no"))
    assert report.log_loss == pytest.approx(sklearn.metrics.log_loss([1], [[1.0, 0.0]], labels=[0, 1]))


def test_the_interval_holds_the_share_whatever_is_rounded():
    for n in range(1, 200):
        for correct in range(n + 1):
            low, high = wilson_interval(correct, n)
            assert 0 <= low <= correct / n <= high <= 1


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
    metrics = evaluate(classifier, source).metrics()
    assert {
        "n", "accuracy", "accuracy_interval", "macro_f1", "roc_auc", "average_precision", "log_loss", "brier", "ece",
        "reliability", "coverage", "most_confused", "per_class", "confusion_matrix", "class_names",
    } <= metrics.keys()  # fmt: skip
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_metrics_are_strict_json_where_some_are_undefined():
    metrics = Report(np.array([[1.0, 0.0, 0.0]]), np.array([0]), NAMES).metrics()
    assert metrics["roc_auc"] is metrics["average_precision"] is None
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_a_thousand_classes_make_neither_scores_nor_picture_large():
    names = tuple(map(str, range(1000)))
    report = Report(np.full((50, 1000), 1e-3), np.arange(50), names)
    assert len(json.dumps(report.scores())) < 1000
    assert max(report.confusion_figure().get_size_inches()) < 25
    report.confusion_figure().savefig(io.BytesIO(), format="png", dpi=30)


def test_class_names_are_no_formulas_in_the_picture():
    report = Report(np.full((2, 2), 0.5), np.arange(2), ("$\\frac$", "b"))
    report.confusion_figure().savefig(io.BytesIO(), format="png", dpi=30)


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


@pytest.mark.parametrize("logits", [[[7.0, 2.0, 1.0]], [[0.5, -0.5, 0.0]]])
def test_logits_are_not_taken_for_probabilities(logits):
    with pytest.raises(InputError, match="these are no probabilities, from 0 to 1: of logits, take their softmax"):
        Report(np.array(logits), np.array([0]), NAMES)


def test_a_batch_size_that_is_none_is_refused(classifier, source):
    with pytest.raises(InputError, match="batch_size must be a whole number from 1 to .*, got 0"):
        evaluate(classifier, source, batch_size=0)
