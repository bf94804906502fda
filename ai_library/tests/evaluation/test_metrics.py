"""Intervals, coverage and reliability agree with independent sources, and with figures worked out by hand."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library.evaluation.metrics import (
    accuracy_interval,
    coverage_curve,
    coverage_table,
    grouped_interval,
    reliability_bins,
    roc_auc_and_average_precision,
    wilson_interval,
)


@st.composite
def predictions(draw):
    """Confidences with few decimals, so that many are equal, and hits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 60))
    return rng.random(n).round(draw(st.integers(0, 3))), rng.random(n) < 0.7


def test_the_interval_is_wilsons():
    """81 of 263: 0.2553 to 0.3662, the example of Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_interval_holds_the_share_whatever_is_rounded():
    for n in range(1, 200):
        for correct in range(n + 1):
            low, high = wilson_interval(correct, n)
            assert 0 <= low <= correct / n <= high <= 1


@pytest.mark.slow
@settings(deadline=None)
@given(predictions(), st.randoms())
def test_the_coverage_curve_is_that_of_all_orders_of_equal_confidences(predictions, shuffle):
    confidence, hits = predictions
    n = len(hits)
    coverage, accuracy = coverage_curve(confidence, hits)
    assert accuracy[-1] == pytest.approx(hits.mean())
    np.testing.assert_allclose(coverage, np.arange(1, n + 1) / n)
    order = shuffle.sample(range(n), n)
    np.testing.assert_allclose(coverage_curve(confidence[order], hits[order])[1], accuracy)
    # where no confidence is shared, the most certain k are well defined
    if len(np.unique(confidence)) == n:
        certain_first = hits[np.argsort(-confidence)]
        np.testing.assert_allclose(accuracy, [certain_first[:k].mean() for k in range(1, n + 1)])


def test_equal_confidences_share_their_accuracy_in_the_coverage_curve():
    """1 right at 0.9; then 4 at 0.6, of which 1 is right: each of them counts a quarter."""
    _, accuracy = coverage_curve(np.array([0.9, 0.6, 0.6, 0.6, 0.6]), np.array([True, True, False, False, False]))
    np.testing.assert_allclose(accuracy, [1, 1.25 / 2, 1.5 / 3, 1.75 / 4, 2 / 5])


def test_coverage_is_tabulated_with_its_intervals():
    """Of 100, 5 are wrong and the least certain: without the last tenth all are right."""
    confidence, hits = np.linspace(0.99, 0.6, 100), np.repeat([True, False], [95, 5])
    table = coverage_table(confidence, hits)
    assert [(row.coverage, row.n, row.accuracy) for row in table] == [
        (1.0, 100, 0.95), (0.99, 99, 95 / 99), (0.95, 95, 1.0), (0.9, 90, 1.0), (0.8, 80, 1.0),
    ]  # fmt: skip
    assert table[0].accuracy_interval == wilson_interval(95, 100)
    assert table[3].confidence == confidence[89]


def test_reliability_counts_every_example_in_the_bin_of_its_confidence():
    """3 at 0.95, of which 2 are right, in the last bin of fifteen; 1 at 0.6, right, in the tenth."""
    confidence, hits = np.array([0.95, 0.95, 0.95, 0.601]), np.array([True, True, False, True])
    low, high = reliability_bins(confidence, hits)
    assert (low.n, low.confidence, low.accuracy) == (1, pytest.approx(0.601), 1)
    assert (high.n, high.confidence, high.accuracy) == (3, pytest.approx(0.95), pytest.approx(2 / 3))
    assert (high.low, high.high) == (14 / 15, 1)
    wanted = scipy.stats.binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert high.accuracy_interval == pytest.approx((wanted.low, wanted.high))


def test_a_confidence_of_1_lies_in_the_last_bin():
    (only,) = reliability_bins(np.array([1.0]), np.array([True]))
    assert (only.high, only.n) == (1, 1)


def test_ranking_by_hand():
    """Positives at 3 and 1, a negative at 2: one of two pairs is in order, and the precisions are 1 and 2/3."""
    figures = roc_auc_and_average_precision(np.array([3, 2, 1]), np.array([True, False, True]))
    assert figures == pytest.approx((1 / 2, (1 + 2 / 3) / 2))


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_kind_of_example_has_no_ranking(positive):
    assert roc_auc_and_average_precision(np.array([0.1, 0.9]), np.array(positive)) == (None, None)


@pytest.mark.parametrize(("groups", "size"), [(15, 6), (60, 10), (300, 3)])
def test_the_interval_of_grouped_trials_holds_the_truth_19_times_in_20(groups, size):
    rng = np.random.default_rng(0)
    held, alone = 0, 0
    for _ in range(400):
        hits = np.repeat(rng.random(groups) < 0.6, size) ^ (rng.random(groups * size) < 0.02)
        low, high = grouped_interval(hits, np.repeat(np.arange(groups), size))
        held += low <= 0.6 - 0.02 * 0.2 <= high
        low, high = wilson_interval(int(hits.sum()), len(hits))
        alone += low <= 0.6 - 0.02 * 0.2 <= high
    assert 0.92 <= held / 400 <= 0.985
    assert alone / 400 < 0.8


@pytest.mark.parametrize(
    "sizes", [[100, 80, 60, 40, 20, 20], [100] * 2 + [25] * 8, [200] + [20] * 9, [200] + [1] * 100]
)
def test_the_interval_of_uneven_groups_holds_the_truth_too(sizes):
    """It errs on the side of width where one group has most trials."""
    rng, groups, held = np.random.default_rng(0), np.repeat(np.arange(len(sizes)), sizes), 0
    for _ in range(400):
        hits = rng.random(len(groups)) < rng.beta(8, 2, len(sizes))[groups]
        low, high = grouped_interval(hits, groups)
        held += low <= 0.8 <= high
    assert held / 400 >= 0.92


@pytest.mark.parametrize("count", [2, 3, 4, 7, 30, 3000])
def test_few_groups_widen_the_interval_by_students_distribution(count):
    trials = count * (1.959964 / scipy.stats.t.ppf(0.975, count - 1)) ** 2
    assert grouped_interval(np.ones(5 * count), np.arange(5 * count) // 5)[0] == pytest.approx(
        wilson_interval(trials, trials)[0], rel=1e-4
    )


def test_the_interval_of_independent_trials_is_no_narrower_for_their_groups():
    hits = np.random.default_rng(1).random(900) < 0.8
    independent = wilson_interval(int(hits.sum()), 900)
    low, high = grouped_interval(hits, np.arange(900) // 3)
    assert low <= independent[0] + 1e-9
    assert high >= independent[1] - 1e-9
    assert high - low < 1.3 * (independent[1] - independent[0])
    assert grouped_interval(hits, np.zeros(900, int)) == (0, 1)
    low, high = grouped_interval(np.ones(900, bool), np.arange(900) // 90)
    assert low < 0.75
    assert high == 1


def test_one_interval_holds_for_independent_and_for_grouped_examples():
    """32 in 4 groups, of which two are all right and two all wrong."""
    hits, groups = np.repeat([True, False, True, False], 8), np.arange(32) // 8
    assert accuracy_interval(hits) == accuracy_interval(hits, np.arange(32)) == wilson_interval(16, 32)
    assert accuracy_interval(hits, groups) == grouped_interval(hits, groups)
    assert accuracy_interval(hits, groups) == pytest.approx((0.0608, 0.9392), abs=5e-5)


def test_parts_of_grouped_examples_have_the_interval_of_their_groups():
    rng = np.random.default_rng(0)
    confidence, hits, groups = rng.random(200), rng.random(200) < 0.7, np.arange(200) // 10
    most = np.argsort(-confidence)[:160]
    assert coverage_table(confidence, hits, groups)[-1].accuracy_interval == pytest.approx(
        grouped_interval(hits[most], groups[most])
    )
    for each in reliability_bins(confidence, hits, groups):
        inside = (confidence >= each.low) & (confidence < each.high)
        assert each.accuracy_interval == accuracy_interval(hits[inside], groups[inside])


@pytest.mark.slow
@settings(deadline=None)
@given(predictions(), st.integers(1, 8), st.randoms())
def test_no_interval_of_grouped_examples_depends_on_their_order(predictions, groups, shuffle):
    """Examples of equal confidence count in part where not all of them are decided."""
    confidence, hits = predictions
    group_of = np.arange(len(hits)) % groups
    order = shuffle.sample(range(len(hits)), len(hits))
    table = coverage_table(confidence, hits, group_of)
    again = coverage_table(confidence[order], hits[order], group_of[order])
    for row, other in zip(table, again, strict=True):
        assert row.accuracy_interval == pytest.approx(other.accuracy_interval)
        assert row.accuracy_interval[0] - 1e-9 <= row.accuracy <= row.accuracy_interval[1] + 1e-9
