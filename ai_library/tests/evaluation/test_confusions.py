"""Confusions agree with the whole matrix, and of many classes hold what can be read."""

import json
import tracemalloc

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import Report
from ai_library.evaluation.confusions import MOST_CELLS, MOST_CLASSES, Confusions

labels_of = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


@pytest.mark.slow
@settings(deadline=None)
@given(labels_of, st.sets(st.integers(0, 5), min_size=1))
def test_cells_sums_and_parts_are_those_of_the_matrix(pairs, chosen):
    labels, predictions = np.array(pairs).T
    whole = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(6))
    found = Confusions(labels, predictions, 6)
    np.testing.assert_array_equal(found.matrix(np.arange(6)), whole)
    chosen = np.array(sorted(chosen))
    np.testing.assert_array_equal(found.matrix(chosen), whole[np.ix_(chosen, chosen)])
    np.testing.assert_array_equal(found.support, whole.sum(axis=1))
    np.testing.assert_array_equal(found.predictions, whole.sum(axis=0))
    np.testing.assert_array_equal(found.right, whole.diagonal())
    cells = found.largest(99)
    assert sorted(cells) == sorted((*map(int, cell), int(whole[*cell])) for cell in np.argwhere(whole))
    assert [count for *_, count in cells] == sorted((count for *_, count in cells), reverse=True)
    assert found.largest(2, wrong=True) == [cell for cell in cells if cell[0] != cell[1]][:2]


def many(classes, n, seed=0):
    """A report on n examples of random classes, half of them right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    predictions = np.where(rng.random(n) < 0.5, labels, rng.integers(0, classes, n))
    probabilities = np.zeros((n, classes), np.float32)
    probabilities[np.arange(n), predictions] = 1
    return Report(probabilities, labels, tuple(f"class {i}" for i in range(classes)))


def test_up_to_a_thousand_classes_metrics_have_all_of_the_matrix():
    report = many(MOST_CLASSES, 30)
    metrics = report.metrics()
    assert np.array(metrics["confusion_matrix"]).shape == (MOST_CLASSES, MOST_CLASSES)
    assert metrics["per_class"].keys() == {*report.class_names}
    assert "left_out" not in metrics


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "n"), [(MOST_CLASSES + 1, 1), (4000, 1), (16_384, 1), (16_384, 300)])
def test_beyond_that_metrics_are_small_and_say_what_is_left_out(classes, n):
    report = many(classes, n)
    tracemalloc.start()
    metrics = json.loads(json.dumps(report.metrics(), allow_nan=False))
    assert tracemalloc.get_traced_memory()[1] < 60e6 + 16 * classes * n
    tracemalloc.stop()
    assert {
        "n", "accuracy", "accuracy_interval", "macro_f1", "log_loss", "brier", "ece", "per_class", "class_names",
    } <= metrics.keys()  # fmt: skip
    assert metrics["confusion_matrix"] is None
    assert sum(count for *_, count in metrics["confusions"]) == n
    assert metrics["class_names"] == list(report.class_names)
    occurring = {*report.labels.tolist(), *report.predictions.tolist()}
    assert metrics["per_class"].keys() == {report.class_names[label] for label in occurring}
    assert f"Of {classes:,} classes per_class has {len(occurring):,}" in metrics["left_out"]
    metrics.pop("class_names")
    assert len(json.dumps(metrics)) < 1500 + 700 * n


def test_where_too_many_cells_occur_the_largest_are_kept():
    rng = np.random.default_rng(0)
    found = Confusions(rng.integers(0, 16_384, 40_000), rng.integers(0, 16_384, 40_000), 16_384)
    table = found.as_json()
    assert len(table["confusions"]) == MOST_CELLS < len(found.counts)
    assert table["confusions"][0][2] == found.counts.max()
    assert len(found.in_tables) == MOST_CLASSES
