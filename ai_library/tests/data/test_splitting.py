"""Splits have their share of each class, keep groups together, and stay where they are."""

from collections import Counter

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


def test_folds_are_equal_parts():
    folds = stratified([0] * 50 + [1] * 27, [str(i) for i in range(77)], dict.fromkeys(range(5), 1 / 5))
    assert sorted(Counter(folds[:50]).values()) == [10] * 5
    assert set(Counter(folds[50:]).values()) <= {5, 6}
