"""Two models are compared as the published examples are, and as scipy does; groups of examples are the units."""

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import Comparison, InputError, Report, compare

counts = st.integers(0, 300)


def report(hits, class_names=("no", "yes"), groups=None):
    """A report of examples of the class 1 that are predicted right where `hits` says so."""
    return Report(np.eye(2)[np.array(hits, int)], np.ones(len(hits), int), class_names, groups=groups)


def films(rng, n, frames, right=0.7):
    """Two reports of equally good classifiers, each of which has nearly all frames of a film right, or nearly none."""
    hits = np.repeat(rng.random((2, n)) < right, frames, axis=1) ^ (rng.random((2, n * frames)) < 0.05)
    return [report(each, groups=np.repeat(np.arange(n), frames)) for each in hits]


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
    first = report([1, 0], groups=np.array([0, 0]))
    with pytest.raises(InputError, match="same groups in the same order, got 1 of 2 groups that differ"):
        compare(first, report([1, 0], groups=np.array([0, 1])))


def test_examples_of_groups_are_no_more_certain_than_in_the_report():
    hits, groups = np.arange(200) >= 40, np.repeat(np.arange(10), 20)
    first, second = report(hits, groups=groups), report(np.ones(200), groups=groups)
    comparison = compare(first, second)
    for one, interval in zip((first, second), comparison.accuracy_intervals, strict=True):
        assert interval == pytest.approx(one.accuracy_interval)
    assert comparison.p_value == 2 / 2**2  # two groups differ
    low, high = comparison.difference_interval
    assert low < 0 < 0.2 < high
    text = str(comparison)
    assert text.count("n = 200 in 10 groups; ") == 2
    assert "80.00%  (95 % interval 42.70% to 95.55%, n = 200 in 10 groups; 0 only this one has right)" in text
    assert "sign-flip test of the groups: p = 0.5)" in text
    assert text.endswith("The data do not tell which one is better.")


def test_the_order_of_the_examples_and_the_names_of_the_groups_do_not_matter():
    rng = np.random.default_rng(0)
    first, second = films(rng, 12, 5)
    order, names = rng.permutation(60), rng.permutation(12) + 7
    shuffled = [report(each.hits[order], groups=names[each.groups[order]]) for each in (first, second)]
    one, other = compare(first, second), compare(*shuffled)
    assert sorted(one.groups) == sorted(other.groups)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.difference_interval == pytest.approx(other.difference_interval)


@pytest.mark.parametrize("of", ["first", "second"])
def test_groups_that_one_report_has_hold_for_both(of):
    first, second = films(np.random.default_rng(0), 8, 5)
    alone = {"first": first, "second": second} | {of: report((first if of == "first" else second).hits)}
    assert compare(alone["first"], alone["second"]) == compare(first, second)


def test_groups_of_one_example_are_no_groups():
    hits = np.random.default_rng(0).random((2, 50)) < 0.7
    first, second = map(report, hits)
    grouped = compare(*(report(each, groups=np.arange(50)) for each in hits))
    assert grouped == compare(first, second)
    assert "groups" not in str(grouped)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 4).filter(any), min_size=2, max_size=9))
def test_the_test_of_groups_counts_all_ways_to_exchange_the_classifiers(groups):
    sums = [second - first for _, first, second, _ in groups]
    ways = [abs(np.dot(signs, sums)) >= abs(sum(sums)) for signs in product([-1, 1], repeat=len(sums))]
    comparison = Comparison(*map(sum, zip(*groups, strict=True)), tuple(groups))
    assert comparison.p_value == pytest.approx(np.mean(ways))
    low, high = comparison.difference_interval
    assert -1 - 1e-9 <= low <= comparison.difference + 1e-9
    assert comparison.difference - 1e-9 <= high <= 1 + 1e-9
    alone = Comparison(comparison.both, comparison.only_first, comparison.only_second, comparison.neither)
    assert high - low > alone.difference_interval[1] - alone.difference_interval[0] - 1e-9


@given(st.integers(0, 40), st.integers(0, 40))
def test_of_groups_that_differ_by_one_example_it_is_mcnemars(only_first, only_second):
    groups = ((1, 1, 0, 0),) * only_first + ((1, 0, 1, 0),) * only_second + ((1, 0, 0, 1),)
    grouped = Comparison(len(groups), only_first, only_second, 1, groups)
    assert grouped.p_value == pytest.approx(Comparison(len(groups), only_first, only_second, 1).p_value)


def test_one_group_tells_nothing():
    comparison = compare(*(report(hits, groups=np.zeros(4, int)) for hits in ([0, 0, 0, 0], [1, 1, 1, 1])))
    assert comparison.difference_interval == (-1, 1)
    assert comparison.p_value == 1


@pytest.mark.slow
@pytest.mark.parametrize(("n", "frames"), [(20, 20), (40, 5), (100, 3)])
def test_of_equally_good_classifiers_on_films_few_are_called_better(n, frames):
    rng, better, covered = np.random.default_rng(0), 0, 0
    for _ in range(400):
        comparison = compare(*films(rng, n, frames))
        better += comparison.p_value < 0.05
        low, high = comparison.difference_interval
        covered += low <= 0 <= high
    assert 0.02 <= better / 400 <= 0.075
    assert 0.93 <= covered / 400 <= 0.985


def test_a_classifier_that_is_better_on_films_is_found():
    rng = np.random.default_rng(0)
    (first, _), (second, _) = films(rng, 100, 5, right=0.6), films(rng, 100, 5, right=0.9)
    assert compare(first, second).conclusion == "The second one is better."


def test_ten_thousand_groups_are_no_trouble():
    comparison = Comparison(0, 5_000, 5_100, 0, ((0, 1, 0, 0),) * 5_000 + ((0, 0, 1, 0),) * 5_100)
    assert comparison.p_value == pytest.approx(Comparison(0, 5_000, 5_100, 0).p_value)
