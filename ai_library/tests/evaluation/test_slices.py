"""A slice that a model is blind to is named first and exactly; where none is weak, none is named."""

import time

import numpy as np
import pytest
import scipy.stats

from ai_library import InputError, ShapeDataSource, accuracy_by, accuracy_grid, factor_table, find_slices
from ai_library.evaluation.metrics import grouped_interval


def ten_factors(n, rng):
    """Eight numeric factors, a class of nine and one of two."""
    numeric = {f"factor{i}": rng.random(n) for i in range(8)}
    return {
        **numeric,
        "class": np.array(list("abcdefghi"))[rng.integers(0, 9, n)],
        "fill": np.where(rng.random(n) < 0.5, "filled", "outlined"),
    }


def fifth(values, i):
    """The i-th fifth of the values, by their order."""
    return np.argsort(np.argsort(values)) * 5 // len(values) == i


BLIND = {
    "lowest fifth": (lambda f: fifth(f["factor3"], 0), ["factor3"]),
    "middle fifth": (lambda f: fifth(f["factor3"], 2), ["factor3"]),
    "class": (lambda f: f["class"] == "c", ["class c"]),
    "half": (lambda f: f["fill"] == "outlined", ["fill outlined"]),
    "two fifths": (lambda f: fifth(f["factor3"], 0) & fifth(f["factor6"], 4), ["factor3", "factor6"]),
    "class and fifth": (lambda f: (f["class"] == "c") & fifth(f["factor3"], 2), ["factor3", "class c"]),
    "class and half": (lambda f: (f["class"] == "c") & (f["fill"] == "filled"), ["class c", "fill filled"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize(("n", "error_rate"), [(2000, 0.5), (3000, 0.3), (10_000, 0.9)])
def test_the_slice_that_a_model_is_blind_to_comes_first(blind, n, error_rate):
    where, parts = BLIND[blind]
    for seed in range(5):
        rng = np.random.default_rng([seed, n])
        factors = ten_factors(n, rng)
        weak = where(factors)
        correct = rng.random(n) >= np.where(weak, error_rate, 0.005)
        first, *others = find_slices(correct, factors)
        assert all(part in first.name for part in parts), first
        assert first.name.count(",") == len(parts) - 1, first
        assert abs(first.n - weak.sum()) <= 1
        assert abs(first.errors - (weak & ~correct).sum()) <= 1
        assert first.accuracy == 1 - first.errors / first.n
        assert first.accuracy_interval[0] < first.accuracy < first.accuracy_interval[1]
        assert len(others) <= 1  # a slice is not named again by its pieces


@pytest.mark.slow
@pytest.mark.parametrize(("n", "error_rate"), [(450, 0.02), (2000, 0.005), (2000, 0.1)])
def test_no_slice_is_named_where_none_is_weak(n, error_rate):
    named = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, n])
        named += bool(find_slices(rng.random(n) >= error_rate, ten_factors(n, rng)))
    assert named <= 5


def test_two_weak_slices_are_both_named():
    rng = np.random.default_rng(0)
    factors = ten_factors(10_000, rng)
    weak = (factors["class"] == "c") | fifth(factors["factor3"], 0)
    found = find_slices(rng.random(10_000) >= np.where(weak, 0.4, 0.005), factors)
    assert {each.name.split()[0] for each in found[:2]} == {"factor3", "class"}
    assert len(found) == 2


def test_a_later_slice_has_the_figures_of_what_the_earlier_ones_left():
    rng = np.random.default_rng(0)
    factors = ten_factors(10_000, rng)
    first, second = factors["class"] == "c", fifth(factors["factor3"], 0)
    correct = rng.random(10_000) >= np.where(first, 0.9, np.where(second, 0.1, 0.005))
    (one, other) = find_slices(correct, factors)
    assert (one.n, one.errors) == (first.sum(), (first & ~correct).sum())
    left = second & ~first
    assert (other.n, other.errors) == (left.sum(), (left & ~correct).sum())
    assert other.accuracy == 1 - other.errors / other.n


def test_p_value_is_that_of_fishers_exact_test_times_the_slices_tested():
    correct, values = np.repeat([True, False, True, False], [70, 30, 195, 5]), np.repeat(["weak", "strong"], [100, 200])
    (found,) = find_slices(correct, {"kind": values})
    assert found.name == "kind weak"
    wanted = scipy.stats.fisher_exact([[30, 70], [5, 195]], alternative="greater").pvalue
    assert found.p_value == pytest.approx(2 * wanted)


def test_examples_without_a_factor_are_in_none_of_its_parts():
    values = np.append(np.arange(100.0), [np.nan] * 50)
    rows = accuracy_by(np.arange(150) < 90, values)
    assert [(row.name, row.n, row.correct) for row in rows] == [
        ("0 to 19.8", 20, 20), ("19.8 to 39.6", 20, 20), ("39.6 to 59.4", 20, 20), ("59.4 to 79.2", 20, 20),
        ("79.2 to 99", 20, 10),
    ]  # fmt: skip
    wanted = scipy.stats.binomtest(10, 20).proportion_ci(0.95, method="wilson")
    assert rows[-1].accuracy == 0.5
    assert rows[-1].accuracy_interval == pytest.approx((wanted.low, wanted.high))


def test_the_intervals_of_parts_and_slices_account_for_groups():
    kinds, groups = np.repeat(["weak", "strong"], [120, 280]), np.arange(400) // 10
    correct = (kinds == "strong") | (np.arange(400) % 10 >= 2 + 3 * (groups % 2))  # 2 or 5 errors in each weak group
    weak, inside = accuracy_by(correct, kinds, groups)[1], kinds == "weak"
    assert weak.accuracy_interval == grouped_interval(correct[inside], groups[inside])
    (found,) = find_slices(correct, {"kind": kinds}, groups)
    assert found.accuracy_interval == weak.accuracy_interval
    (alone,) = find_slices(correct, {"kind": kinds})
    assert alone.p_value < found.p_value < 0.01


def films(rng, number, size, spread, weak=0.0):
    """Returns the factors of frames, which of them are predicted right, and the film of each.

    Each film has a camera and an accuracy of its own. A third of all frames are light; the larger `weak` is, the more
    often these are wrong.
    """
    groups = np.repeat(np.arange(number), size)
    factors = {"camera": rng.integers(0, 3, number)[groups], "light": rng.random(len(groups)) < 1 / 3}
    logit = 2 + spread * rng.normal(size=number)[groups] - weak * factors["light"]
    return factors, rng.random(len(groups)) < 1 / (1 + np.exp(-logit)), groups


@pytest.mark.parametrize(("number", "size", "spread"), [(12, 40, 2.0), (20, 20, 3.0)])
def test_films_that_differ_are_not_taken_for_a_weak_camera(number, size, spread):
    drawn = [films(np.random.default_rng(seed), number, size, spread) for seed in range(100)]
    assert sum(bool(find_slices(correct, factors, groups)) for factors, correct, groups in drawn) <= 3
    assert sum(bool(find_slices(correct, factors)) for factors, correct, _ in drawn) > 20


def test_what_is_weak_in_all_films_is_found():
    for seed in range(20):
        factors, correct, groups = films(np.random.default_rng(seed), 100, 10, spread=1.0, weak=3.0)
        assert find_slices(correct, factors, groups)[0].name == "light True"


def test_a_slice_of_one_group_is_not_tested():
    groups = np.repeat(np.arange(20), 20)
    assert find_slices(groups > 0, {"film": groups.astype(str)})
    assert find_slices(groups > 0, {"film": groups.astype(str)}, groups) == []


def test_few_distinct_numbers_and_categories_are_taken_by_value():
    correct = np.array([1, 0, 1, 1], bool)
    assert [row[:3] for row in accuracy_by(correct, [3, 3, 7, 7])] == [("3", 2, 1), ("7", 2, 2)]
    assert [row[:3] for row in accuracy_by(correct, ["b", "b", "a", "b"])] == [("a", 1, 1), ("b", 3, 2)]
    assert [row[:3] for row in accuracy_by(correct, [True, False, True, True])] == [("False", 1, 0), ("True", 3, 3)]


def names(values):
    return [row.name for row in accuracy_by(np.ones(len(values), bool), values)]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([202401, 202402, 202403], ["202401", "202402", "202403"]),
        ([202401.0, 202402.0, 202403.0], ["202401", "202402", "202403"]),
        ([7, 10**17, 10**17 + 1], ["7", "100000000000000000", "100000000000000001"]),
        ([0.123451, 0.123452, 2], ["0.123451", "0.123452", "2"]),
        ([1.0, 1.0 + 2**-52], ["1", "1.0000000000000002"]),
        ([202401, 303402, 1.23456], ["1.235", "2.024e+05", "3.034e+05"]),  # 4 digits suffice
    ],
)
def test_distinct_numbers_have_distinct_names(values, wanted):
    assert names(np.tile(values, 20)) == wanted


def test_ranges_of_large_numbers_have_distinct_names():
    assert names(np.arange(202400, 202451)) == [
        "202400 to 202410", "202410 to 202420", "202420 to 202430", "202430 to 202440", "202440 to 202450",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", [None, np.nan, float("nan")])
def test_none_and_nan_among_objects_are_no_category(missing):
    rows = accuracy_by([True, True, False, True], np.array(["b", missing, "a", "b"], object))
    assert [row[:3] for row in rows] == [("a", 1, 0), ("b", 2, 2)]
    numbers = [*np.arange(100.0).tolist(), *[missing] * 50]
    assert [row.n for row in accuracy_by(np.ones(150), np.array(numbers, object))] == [20] * 5
    assert accuracy_by([True], np.array([missing], object)) == []


def test_a_factor_with_none_can_make_a_weak_slice():
    kinds = np.array(["weak"] * 100 + [None] * 50 + ["strong"] * 150, object)
    correct = np.repeat([True, False, True], [60, 40, 200])
    assert [(weak.name, weak.n, weak.errors) for weak in find_slices(correct, {"kind": kinds})] == [
        ("kind weak", 100, 40)
    ]


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinite_values_are_refused(infinity):
    values = np.append(np.arange(118.0), [infinity, infinity])
    with pytest.raises(InputError, match="factor 'z' must not be infinite, got 2 infinite of 120 values"):
        find_slices(np.ones(120), {"z": values})
    with pytest.raises(InputError, match="a factor must not be infinite"):
        accuracy_by(np.ones(120), values.astype(object))


def test_categories_of_types_that_cannot_be_sorted_together_are_refused():
    with pytest.raises(InputError, match="got values of the types int, str: convert them to strings"):
        accuracy_by([True, True], np.array(["a", 1], object))


def test_grid_counts_every_pair_of_parts():
    grid = accuracy_grid([1, 0, 1, 1], ["a", "a", "b", "b"], [0.5, 0.5, 0.5, 2.0])
    assert (grid.rows, grid.columns) == (["a", "b"], ["0.5", "2"])
    np.testing.assert_array_equal(grid.n, [[2, 0], [1, 1]])
    np.testing.assert_array_equal(grid.accuracy, [[0.5, np.nan], [1, 1]])


def test_ten_thousand_examples_take_less_than_a_second():
    rng = np.random.default_rng(0)
    factors, correct = ten_factors(10_000, rng), rng.random(10_000) > 0.3
    start = time.perf_counter()
    find_slices(correct, factors)
    assert time.perf_counter() - start < 1


@pytest.mark.slow
def test_a_slice_of_drawn_shapes_is_found_by_what_they_show():
    source = ShapeDataSource(seed=1, image_size=32, sizes=(9, 9, 3000))
    factors = factor_table(source)
    weak = (factors["fill"] == "outlined") & fifth(factors["contrast"], 0)
    correct = np.random.default_rng(0).random(3000) >= np.where(weak, 0.4, 0.005)
    first = find_slices(correct, factors)[0]
    assert "fill outlined" in first.name
    assert "contrast 0.3" in first.name


def test_no_factors_and_no_errors_give_no_slices():
    assert find_slices([True, False], {}) == []
    assert find_slices([True] * 50, {"kind": ["a", "b"] * 25}) == []
    assert find_slices([False] * 50, {"kind": ["a", "b"] * 25}) == []


def test_a_part_between_a_quantile_and_the_value_just_above_it_that_many_have_is_no_part():
    rows = accuracy_by(np.ones(17), [0, 1, 2, 3, 4, 4, 4, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16])
    assert [row.n for row in rows] == [4, 6, 3, 4]
    assert rows[0].name.split(" to ")[1] == rows[1].name.split(" to ")[0] == "4"


def test_a_factor_of_another_length_is_refused():
    with pytest.raises(
        InputError, match=r"factor 'size' must have one value for each of the 2 predictions, got shape \(3,\)"
    ):
        find_slices([True, False], {"size": [1.0, 2.0, 3.0]})
