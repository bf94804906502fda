"""Two models are compared as the published examples are, and as scipy does."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import Comparison, InputError, Report, compare

counts = st.integers(0, 300)


def report(hits, class_names=("no", "yes")):
    """A report of examples of the class 1 that are predicted right where `hits` says so."""
    return Report(np.eye(2)[np.array(hits, int)], np.ones(len(hits), int), class_names)


def test_examples_are_counted_by_who_has_them_right():
    comparison = compare(report([1, 1, 1, 0, 0, 0, 0]), report([1, 1, 0, 1, 1, 1, 0]))
    assert comparison == Comparison(both=2, only_first=1, only_second=3, neither=1)
    assert comparison.difference == pytest.approx(5 / 7 - 3 / 7)


@pytest.mark.parametrize(
    ("cells", "interval"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((20, 12, 2, 16), (0.0562, 0.3292)),
        ((18, 12, 2, 18), (0.0562, 0.3290)),
        ((36, 14, 0, 0), (0.1528, 0.4167)),
        ((35, 14, 0, 1), (0.1461, 0.4175)),
        ((18, 14, 0, 18), (0.1441, 0.3963)),
        ((1, 97, 1, 1), (0.8736, 0.9850)),
        ((0, 30, 0, 0), (0.8395, 1.0)),
        ((54, 0, 0, 0), (-0.0664, 0.0664)),
        ((30, 0, 0, 24), (-0.0358, 0.0358)),
    ],
)
def test_interval_of_the_difference_is_that_of_newcombes_table(cells, interval):
    """Newcombe, Statistics in Medicine 17 (1998), 2635-2650, table III, method 10: first less second there."""
    both, only_first, only_second, neither = cells
    comparison = Comparison(both, only_second, only_first, neither)
    assert comparison.difference_interval == pytest.approx(interval, abs=1e-4)


def test_p_value_by_hand():
    """10 discordant examples, 2 to 8: twice (1 + 10 + 45) / 1024."""
    assert Comparison(100, 2, 8, 5).p_value == 2 * 56 / 1024


@settings(deadline=None)
@given(st.integers(1, 300), counts, counts, counts)
def test_comparison_agrees_with_scipy_and_is_antisymmetric(both, only_first, only_second, neither):
    comparison = Comparison(both, only_first, only_second, neither)
    if discordant := only_first + only_second:
        assert comparison.p_value == pytest.approx(scipy.stats.binomtest(only_first, discordant).pvalue)
    else:
        assert comparison.p_value == 1
    low, high = comparison.difference_interval
    assert -1 <= low <= comparison.difference <= high <= 1
    swapped = Comparison(both, only_second, only_first, neither)
    assert swapped.p_value == comparison.p_value
    assert swapped.difference_interval == pytest.approx((-high, -low))


def test_interval_covers_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    shares = np.array([0.95, 0.015, 0.025, 0.01])
    covered = 0
    for cells in rng.multinomial(450, shares, size=2000):
        low, high = Comparison(*map(int, cells)).difference_interval
        covered += low <= shares[2] - shares[1] <= high
    assert 0.94 <= covered / 2000 <= 0.985


def test_many_discordant_examples_are_no_trouble():
    assert Comparison(0, 10_000, 10_100, 0).p_value == pytest.approx(scipy.stats.binomtest(10_000, 20_100).pvalue)


def test_the_conclusion_is_a_plain_sentence():
    assert "The second one is better." in str(Comparison(900, 20, 60, 20))
    assert "The first one is better." in str(Comparison(900, 60, 20, 20))
    text = str(Comparison(900, 40, 45, 15))
    assert "The data do not tell which one is better." in text
    assert "+0.50 points" in text


def test_reports_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="same classes, got no, yes in the first and nein, ja in the second"):
        compare(report([1, 0]), report([1, 0], ("nein", "ja")))
    with pytest.raises(InputError, match="same labels in the same order, got 2 and 3 labels"):
        compare(report([1, 0]), report([1, 0, 1]))
    other = Report(np.eye(2), np.array([0, 1]), ("no", "yes"))
    with pytest.raises(InputError, match="same labels in the same order, got 1 of 2 labels that differ"):
        compare(report([1, 0]), other)
