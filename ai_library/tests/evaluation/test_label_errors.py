"""Label errors are found as cleanlab finds them, and where they were made."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import InputError, find_label_errors
from ai_library.evaluation.label_errors import confident_joint


@st.composite
def predictions(draw):
    """Labels and probabilities of a few examples, some of whose classes may have none, or none that is confident."""
    n, k = draw(st.integers(2, 60)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = random.integers(0, draw(st.integers(2, k)), n)
    labels[:2] = 0, 1
    logits = random.normal(size=(n, k)) * draw(st.sampled_from([0.1, 1, 4]))
    logits[np.arange(n), labels] += draw(st.sampled_from([0, 1, 5]))
    logits[:, -1] -= draw(st.sampled_from([0, 30]))  # a class that nothing is taken for
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(predictions())
def test_errors_and_joint_are_those_of_cleanlab(drawn):
    count = pytest.importorskip("cleanlab.count", reason="cleanlab, to compare with, is not installed")
    from cleanlab.filter import find_label_issues

    labels, probabilities = drawn
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues")
        issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    errors = find_label_errors(labels, probabilities)
    assert errors.joint.tolist() == count.compute_confident_joint(labels, probabilities).tolist()
    assert errors.indices.tolist() == issues.tolist()


@given(predictions())
def test_the_joint_counts_every_example_once_and_an_error_is_never_predicted_as_its_label(drawn):
    labels, probabilities = drawn
    errors = find_label_errors(labels, probabilities)
    assert errors.joint.sum(axis=1).tolist() == np.bincount(labels, minlength=probabilities.shape[1]).tolist()
    assert errors.joint.min() >= 0
    assert (errors.suggested != errors.labels).all()
    assert errors.labels.tolist() == labels[errors.indices].tolist()
    assert (np.diff(errors.self_confidence) >= 0).all()
    assert np.allclose(errors.probability, probabilities[errors.indices].max(axis=1))


def test_the_joint_of_a_small_table_by_hand():
    """Thresholds 0.65 and 0.75. The third example is confidently of class 1 though labelled 0; the last is of none."""
    labels = [0, 0, 0, 1, 1]
    second = [0.05, 0.1, 0.9, 0.98, 0.52]
    probabilities = np.column_stack([1 - np.array(second), second])
    assert confident_joint(labels, probabilities).tolist() == [[2, 1], [0, 2]]
    errors = find_label_errors(labels, probabilities)
    assert (errors.indices.tolist(), errors.suggested.tolist()) == ([2], [1])
    assert errors.self_confidence == pytest.approx([0.1])


def test_flipped_labels_are_found_and_sound_ones_left():
    random = np.random.default_rng(0)
    true = random.integers(0, 5, 2_000)
    logits = random.normal(size=(2_000, 5)) + 8 * np.eye(5)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, flipped = true.copy(), random.choice(2_000, 60, replace=False)
    labels[flipped] = (labels[flipped] + random.integers(1, 5, 60)) % 5
    errors = find_label_errors(labels, probabilities)
    assert np.intersect1d(errors.indices, flipped).size >= 59
    assert len(errors) <= 62
    assert len(find_label_errors(true, probabilities)) <= 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], r"labels must be \(1,\) integers"),
        ([0, 2], [[0.5, 0.5], [1, 0]], "labels must be from 0 to 1, as there are 2 classes, got 0 to 2"),
        ([0, 0], [[1.0], [1.0]], r"probabilities must be \(n, k\) of 2 classes or more, got \(2, 1\)"),
        ([0, 1], [[3.0, -2.0], [1, 0]], "probabilities must be from 0 to 1, got -2 to 3"),
        ([0, 1], [[np.nan, 0.5], [1, 0]], "probabilities must be from 0 to 1, got nan"),
    ],
)
def test_what_is_no_label_or_no_probability_is_an_error(labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        find_label_errors(labels, probabilities)
