"""Splits have their share of each class, keep groups together, and stay where they are."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library.data.splitting import SHARES, stratified

names = st.lists(st.text(max_size=12), min_size=20, max_size=300, unique=True)


def counted(labels, splits):
    return {
        label: Counter(split for own, split in zip(labels, splits, strict=True) if own == label) for label in labels
    }


def assert_shares(counts, size, tolerance=0.0):
    for split, share in SHARES.items():
        assert counts[split] >= 1
        assert abs(counts[split] - share * size) <= max(1, 0.01 * size, tolerance)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(names, min_size=1, max_size=4))
def test_each_split_has_its_share_of_each_class_whatever_the_names(classes):
    labels = [label for label, members in enumerate(classes) for _ in members]
    groups = [f"{label}/{name}" for label, members in enumerate(classes) for name in members]
    for label, counts in counted(labels, stratified(labels, groups)).items():
        assert_shares(counts, len(classes[label]))


@pytest.mark.parametrize("n", [20, 40, 333, 2000, pytest.param(60_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["{:06}.jpg", "IMG_{}.JPG", "{:x}"])
def test_numbered_names_are_divided_into_their_shares(name, n):
    assert_shares(Counter(stratified([0] * n, [name.format(i) for i in range(n)])), n)


@pytest.mark.slow
@settings(max_examples=50)
@given(names, st.randoms(use_true_random=False))
def test_a_split_follows_from_names_and_not_from_their_order(members, random):
    shuffled = random.sample(members, len(members))
    labels = [0] * len(members)
    assert dict(zip(members, stratified(labels, members), strict=True)) == dict(
        zip(shuffled, stratified(labels, shuffled), strict=True)
    )


@pytest.mark.slow
def test_added_examples_move_few_others_and_none_of_a_large_class():
    for before, after, moved in ((100, 101, 2), (1000, 1100, 20), (40_000, 44_000, 0)):
        members = [f"{index:06}.jpg" for index in range(after)]
        first = stratified([0] * before, members[:before])
        second = stratified([0] * after, members)
        assert sum(one != other for one, other in zip(first, second, strict=False)) <= moved


@given(st.lists(st.integers(1, 30), min_size=3, max_size=40))
def test_groups_are_never_divided_and_reach_every_split(group_sizes):
    groups = [f"animal {index}" for index, size in enumerate(group_sizes) for _ in range(size)]
    splits = stratified([0] * len(groups), groups)
    assert len(set(zip(groups, splits, strict=True))) == len(group_sizes)
    assert set(splits) == set(SHARES)


@pytest.mark.slow
@given(st.lists(st.integers(1, 4), min_size=60, max_size=90))
def test_small_groups_come_near_to_the_shares(group_sizes):
    groups = [f"animal {index}" for index, size in enumerate(group_sizes) for _ in range(size)]
    assert_shares(Counter(stratified([0] * len(groups), groups)), len(groups), tolerance=1 + max(group_sizes))


def test_a_group_of_most_of_a_class_is_trained_on():
    groups = ["all but three"] * 97 + ["a", "b", "c"]
    assert stratified([0] * 100, groups)[0] == "train"


@pytest.mark.slow
@settings(max_examples=50)
@given(st.randoms(use_true_random=False))
def test_groups_of_several_classes_are_kept_together_and_leave_each_class_its_share(random):
    labels = [index % 5 for index in range(600)]
    random.shuffle(labels)
    groups = [str(index // 6) for index in range(600)]
    splits = stratified(labels, groups)
    assert len(set(zip(groups, splits, strict=True))) == 100
    for label, counts in counted(labels, splits).items():
        assert_shares(counts, labels.count(label), tolerance=12)


def table(groups):
    """The labels and group names of a table, of whose groups each is a list of labels."""
    rows = [(label, f"patient {index}") for index, labels in enumerate(groups) for label in labels]
    return [label for label, _ in rows], [group for _, group in rows]


def promised(groups, shares):
    """For each class with enough groups: the indices of its groups."""
    found = {label: [index for index, own in enumerate(groups) if label in own] for label in set().union(*groups)}
    return {label: own for label, own in found.items() if len(own) >= len(shares)}


def is_possible(groups, shares):
    """Whether any division of the groups has each class that has enough groups in each split."""
    divisions = np.array([*product(range(len(shares)), repeat=len(groups))])
    reached = [
        (divisions[:, own] == split).any(axis=1)
        for own in promised(groups, shares).values()
        for split in range(len(shares))
    ]
    return bool(np.all(reached, axis=0).any())


shares_of_splits = st.sampled_from([SHARES, {"train": 0.85, "validation": 0.15}, dict.fromkeys(range(4), 1 / 4)])


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=2, max_size=7), shares_of_splits)
def test_each_class_with_enough_groups_is_in_each_split_if_any_division_does_that(groups, shares):
    labels, names = table(groups)
    splits = dict(zip(names, stratified(labels, names, shares), strict=True))
    reached = [
        {splits[f"patient {index}"] for index in own} == set(shares) for own in promised(groups, shares).values()
    ]
    assert all(reached) == is_possible(groups, shares)


@pytest.mark.slow
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=3, max_size=30), st.randoms())
def test_the_split_of_a_group_of_several_classes_does_not_depend_on_the_order_of_the_rows(groups, random):
    labels, names = table(groups)
    shuffled = random.sample(range(len(labels)), len(labels))
    again = stratified([labels[row] for row in shuffled], [names[row] for row in shuffled])
    assert dict(zip(names, stratified(labels, names), strict=True)) == dict(
        zip([names[row] for row in shuffled], again, strict=True)
    )


def test_rare_classes_in_groups_of_many_classes_reach_every_split():
    rng = np.random.default_rng(0)
    groups = [np.minimum(*rng.integers(0, 300, (2, 4))).tolist() for _ in range(300)]
    labels, names = table(groups)
    splits = dict(zip(names, stratified(labels, names), strict=True))
    for own in promised(groups, SHARES).values():
        assert {splits[f"patient {index}"] for index in own} == set(SHARES)


def test_two_classes_that_cannot_both_reach_every_split_lack_as_little_as_possible():
    groups = [[0, 1], [0, 1, 2], [0, 2], [1, 2]]  # each class has three groups, and any two share two
    labels, names = table(groups)
    splits = stratified(labels, names)
    assert not is_possible(groups, SHARES)
    assert sorted(len(counts) for counts in counted(labels, splits).values()) == [2, 3, 3]


def test_folds_are_equal_parts():
    folds = stratified([0] * 50 + [1] * 27, [str(i) for i in range(77)], dict.fromkeys(range(5), 1 / 5))
    assert sorted(Counter(folds[:50]).values()) == [10] * 5
    assert set(Counter(folds[50:]).values()) <= {5, 6}
