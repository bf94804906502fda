"""The metrics of a report agree with independent sources."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import InputError, Report, evaluate

NAMES = ("a", "b", "c")


@st.composite
def reports(draw):
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = rng.dirichlet([0.5] * 3, n)
    return Report(probabilities, rng.integers(0, 3, n), NAMES)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_the_most_confused_pairs_come_first():
    labels, predictions = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 1, 0, 2, 2])
    report = Report(np.eye(3)[predictions], labels, NAMES)
    assert report.most_confused() == [("a", "b", 2, 0.5), ("a", "c", 1, 0.25), ("b", "a", 1, 0.5)]
    assert report.most_confused(1) == [("a", "b", 2, 0.5)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_labels_of_any_integer_type_give_the_same_matrix(dtype):
    """99 * 100 + 99 is more than 8 bits hold."""
    labels = np.array([0, 50, 99])
    report = Report(np.eye(100)[labels], labels.astype(dtype), tuple(map(str, range(100))))
    np.testing.assert_array_equal(np.argwhere(report.confusion_matrix), np.stack([labels, labels], axis=1))


def test_the_hardest_examples_have_the_largest_loss():
    report = Report(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([1, 1, 1]), ("yes", "no"))
    assert report.hardest(2).tolist() == [0, 2]
    assert report.hardest(9).tolist() == [0, 2, 1]


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
    with pytest.raises(InputError, match=f"temperature must be positive and finite, got {temperature}"):
        Report(np.array([[1.0, 0.0]]), np.array([1]), ("yes", "no")).at_temperature(temperature)


def test_a_probability_of_0_for_the_true_class_costs_a_finite_loss():
    report = Report(np.array([[1.0, 0.0]]), np.array([1]), ("yes", "no"))
    assert report.log_loss == pytest.approx(sklearn.metrics.log_loss([1], [[1.0, 0.0]], labels=[0, 1]))


def test_calibration_error_by_hand():
    """Two bins: 4 at confidence 0.9 of which 3 are right, 2 at 0.6 of which 2 are right."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    report = Report(probabilities, np.array([0, 0, 0, 1, 0, 0]), ("yes", "no"))
    assert report.ece == pytest.approx((4 * abs(0.75 - 0.9) + 2 * abs(1 - 0.6)) / 6)


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


def test_printed_report_shows_figures_and_classes(classifier, source):
    report = evaluate(classifier, source)
    assert f"{report.accuracy:.2%}" in str(report)
    assert all(name in str(report) for name in source.class_names)


def test_images_of_another_size_are_refused(classifier, source):
    with pytest.raises(InputError, match=r"images must be an array uint8 \(n, 32, 32, 1\), got"):
        classifier.predict(np.zeros((2, 16, 16, 1), np.uint8))


def test_no_images_give_no_probabilities(classifier):
    assert classifier.predict_proba(np.zeros((0, 32, 32, 1), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.full((2, 3), 1 / 3), np.array([0, 3]), "labels must be from 0 to 2, as there are 3 classes, got 0 to 3"),
        (np.full((2, 3), 1 / 3), np.array([0.0, 1.0]), r"labels must be \(2,\) integers, .*, got \(2,\) of float64"),
        (np.full((2, 3), 1 / 3), np.array([0]), r"labels must be \(2,\) integers, .*, got \(1,\) of int64"),
        (np.zeros((0, 3)), np.zeros(0, int), "labels .* at least one"),
        (np.full((2, 2), 1 / 2), np.array([0, 1]), r"probabilities must be \(n, 3\), got \(2, 2\)"),
        (np.full(3, 1 / 3), np.array([0]), r"probabilities must be \(n, 3\), got \(3,\)"),
        (np.full((1, 3), np.nan), np.array([0]), "probabilities must be finite, got nan or infinity"),
        (np.full((1, 3), np.inf), np.array([0]), "probabilities must be finite, got nan or infinity"),
    ],
)
def test_arrays_that_make_no_report_are_refused(probabilities, labels, message):
    with pytest.raises(InputError, match=message):
        Report(probabilities, labels, NAMES)


@pytest.mark.parametrize("of", [np.ndarray.tolist, jax.numpy.array])
def test_lists_and_arrays_of_jax_make_a_report_too(of):
    probabilities, labels, groups = (
        np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]] * 3),
        np.arange(6) % 3,
        np.arange(6) // 2,
    )
    one = Report(of(probabilities), of(labels), NAMES, groups=of(groups))
    other = Report(probabilities, labels, NAMES, groups=groups)
    assert one.scores()["brier"] == pytest.approx(other.scores()["brier"])
    assert one.accuracy_interval == other.accuracy_interval


def test_groups_of_another_number_are_refused():
    with pytest.raises(InputError, match=r"groups must be \(2,\), one for each prediction, got \(3,\)"):
        Report(np.full((2, 3), 1 / 3), np.array([0, 1]), NAMES, groups=np.arange(3))


@pytest.mark.parametrize("logits", [[[7.0, 2.0, 1.0]], [[0.5, -0.5, 0.0]]])
def test_logits_are_not_taken_for_probabilities(logits):
    with pytest.raises(InputError, match="probabilities must be from 0 to 1, got .*: if these are logits"):
        Report(np.array(logits), np.array([0]), NAMES)


@settings(deadline=None)
@given(report=reports(), groups=st.integers(1, 60), decimals=st.integers(0, 3))
def test_a_report_of_groups_gives_one_interval_for_one_figure(report, groups, decimals):
    grouped = replace(
        report, probabilities=report.probabilities.round(decimals), groups=np.arange(report.n) * groups // report.n
    )
    metrics = grouped.metrics()
    assert metrics["coverage"][0]["accuracy_interval"] == (
        pytest.approx(metrics["accuracy_interval"]) if groups >= report.n else metrics["accuracy_interval"]
    )
    for each in (*grouped.coverage, *grouped.reliability):
        if each.n == report.n:
            assert each.accuracy_interval == pytest.approx(grouped.accuracy_interval)


def test_groups_of_one_example_change_no_figure():
    rng = np.random.default_rng(0)
    report = Report(rng.dirichlet([0.5] * 3, 50).round(1), rng.integers(0, 3, 50), NAMES)
    assert replace(report, groups=np.arange(50)).metrics() == report.metrics()
