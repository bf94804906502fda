"""An order is a permutation that nothing tells from a random one, and each of its parts is had alone."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library.data.shuffling import shuffled


def orders(size, count):
    """The orders (count, size) of the epochs 0, 1, ..."""
    return np.stack([shuffled(np.arange(size), size, (5, epoch)) for epoch in range(count)])


def assert_even(counts, expected):
    """Pearson's chi-square of independent counts, by Wilson and Hilferty's approximation; about 1 in 30,000 fails."""
    counts = np.asarray(counts, float).ravel()
    freedom = len(counts) - 1
    chi = ((counts - expected) ** 2 / expected).sum()
    assert abs((chi / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) < 4 * math.sqrt(2 / (9 * freedom))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 5000), entropy=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 10**6)))
def test_an_order_holds_every_item_once(size, entropy):
    items = shuffled(np.arange(size), size, entropy)
    assert items.dtype == np.int64
    np.testing.assert_array_equal(np.sort(items), np.arange(size))


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 2**40), data=st.data())
def test_an_item_is_the_same_with_any_others_and_alone(size, data):
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50))
    items = shuffled(positions, size, (1, 2))
    assert items.min() >= 0
    assert items.max() < size
    assert len(set(items.tolist())) == len(set(positions))
    row = data.draw(st.integers(0, len(positions) - 1))
    assert shuffled([positions[row]], size, (1, 2))[0] == items[row]


@pytest.mark.parametrize("size", [2**32 - 1, 2**32, 2**40])
def test_a_huge_order_is_had_in_part_and_spreads_over_all_items(size):
    items = shuffled(np.arange(size - 4096, size), size, (0, 0))
    assert len(set(items.tolist())) == 4096
    assert_even(np.bincount(items * 64 // size, minlength=64), 4096 / 64)


def test_seeds_and_epochs_have_orders_of_their_own():
    first = shuffled(np.arange(1000), 1000, (0, 0))
    for entropy in ((0, 1), (1, 0), (2**32 - 1, 0)):
        assert (shuffled(np.arange(1000), 1000, entropy) == first).sum() < 10


def test_no_positions_have_no_items():
    assert shuffled([], 10, (0, 0)).shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_of_a_few_items_are_equally_frequent(size):
    each = 100
    count = each * math.factorial(size)
    found = Counter(map(tuple, orders(size, count).tolist()))
    assert_even([found[order] for order in itertools.permutations(range(size))], each)


@pytest.mark.slow
@pytest.mark.parametrize("size", [6, 9, 25, 100, 101, 500])
def test_many_orders_are_as_random_ones(size):
    found = orders(size, 4000)
    for position in (0, size // 2, size - 1):  # every item is as often there
        assert_even(np.bincount(found[:, position], minlength=size), 4000 / size)
    steps = (found[:, 1] - found[:, 0]) % size  # neighbours know nothing of each other
    assert_even(np.bincount(steps, minlength=size)[1:], 4000 / (size - 1))
    steps = (found[:, size // 2] - found[:, 0]) % size
    assert_even(np.bincount(steps, minlength=size)[1:], 4000 / (size - 1))
    fixed = (found == np.arange(size)).sum(axis=1)  # of mean 1 and variance 1, at every size
    assert abs(fixed.mean() - 1) < 4 / math.sqrt(4000)
    assert abs(fixed.var() - 1) < 0.15


def test_one_long_order_is_as_a_random_one():
    size = 100_000
    items = shuffled(np.arange(size), size, (0, 0))
    for lag in (1, 2, 316, 317, 1000):  # 317: the columns of the grid
        assert abs(np.corrcoef(items[:-lag], items[lag:])[0, 1]) < 4 / math.sqrt(size)
        steps = (items[lag:] - items[:-lag]) % size
        assert_even(np.bincount(steps * 100 // size, minlength=100), (size - lag) / 100)
    assert (items == np.arange(size)).sum() < 8
    ascents = (np.diff(items) > 0).sum()
    assert abs(ascents - size / 2) < 4 * math.sqrt(size / 12)
