"""Stratified splits and folds: each gets its share of every class."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

Part = TypeVar("Part", bound="str | int")

SHARES: dict[str, float] = {"train": 0.7, "validation": 0.15, "evaluation": 0.15}
"""The fraction of each class in the splits, if the library makes all three."""
_TOLERANCE = 0.005  # largest error of a boundary between splits, as a fraction of the class, if above half an image


def stratified(labels: Sequence[int], groups: Sequence[str], shares: Mapping[Part, float] = SHARES) -> list[Part]:
    """Returns the split of each example, a function of the labels and the groups alone.

    If every group is a single example, the fraction of a class in each split is within one example or 1 % of `shares`.
    Larger groups are never divided, so the fractions are as near as possible; a group larger than the smallest share
    goes into the first split. A class with at least as many groups as there are splits has an example in each.

    Within a class, groups are ordered by a hash of their names. In a large class, new examples do not move old ones; in
    a small class, they may move those next to a boundary.

    Args:
        labels: (n,) classes.
        groups: (n,) group names. Examples of one group are in one split. A group may have several classes.
        shares: The fraction of every class in each split, by the split's name; they sum to 1.
    """
    members: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    sizes = Counter(labels)
    places = {group: _place(group) for group in members}
    split_of = _shared_out([group for group in members if len(members[group]) > 1], members, places, sizes, shares)
    given = {label: Counter[Part]() for label in sizes}
    for group, split in split_of.items():
        for label, count in members[group].items():
            given[label][split] += count
    own: dict[int, list[_Group]] = defaultdict(list)
    for group, (label, *others) in members.items():
        if not others:
            own[label].append(_Group(group, members[group][label], places[group]))
    for label, its_groups in own.items():
        split_of |= _divided(its_groups, given[label], sizes[label], shares)
    return [split_of[group] for group in groups]


class _Group(NamedTuple):
    name: str
    size: int
    place: float
    """From 0 to 1, by a hash of the name."""


def _place(name):
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64


def _divided(groups, given, size, shares):
    """The splits of the groups of one class of `size` examples, some of which are already `given` to splits."""
    most = min(shares.values()) * size
    ordered = sorted(groups, key=lambda group: (group.size <= most, group.place, group.name))
    before = [0]
    for group in ordered:
        before.append(before[-1] + group.size)
    needed = [not given[split] for split in shares]
    tolerance, ends, share, had = max(0.5, _TOLERANCE * size), [0], 0.0, 0
    for index, split in enumerate(list(shares)[:-1]):
        share, had = share + shares[split], had + given[split]
        natural = sum(group.size for group in ordered if group.size > most or group.place < share)
        wanted = share * size - had
        low, high = math.ceil(wanted - tolerance - 1e-9), math.floor(wanted + tolerance + 1e-9)
        wanted = min(max(natural, low), high)
        first = min(ends[-1] + needed[index], len(ordered))
        last = max(first, len(ordered) - sum(needed[index + 1 :]))
        ends.append(min(range(first, last + 1), key=lambda end: abs(before[end] - wanted)))
    ends.append(len(ordered))
    return {
        group.name: split
        for split, start, end in zip(shares, ends, ends[1:], strict=False)
        for group in ordered[start:end]
    }


def _shared_out(groups, members, places, sizes, shares):
    """The splits of groups with several classes: each goes where its classes are furthest below their shares."""
    lacking = {(label, split): share for label in sizes for split, share in shares.items()}
    split_of = {}
    for group in sorted(groups, key=lambda group: (places[group], group)):
        split_of[group] = max(
            shares, key=lambda split: sum(lacking[label, split] / shares[split] for label in members[group])
        )
        for label, count in members[group].items():
            lacking[label, split_of[group]] -= count / sizes[label]
    return split_of
