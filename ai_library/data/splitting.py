"""Divides examples into splits, or into folds, of which each gets its share of every class."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

Part = TypeVar("Part", bound="str | int")

SHARES: dict[str, float] = {"train": 0.7, "validation": 0.15, "evaluation": 0.15}
"""The part of each class that a split gets where the library makes all three."""
_TOLERANCE = 0.005  # of a class's images, by which a boundary between splits may miss its place, if that is above 0.5


def stratified(labels: Sequence[int], groups: Sequence[str], shares: Mapping[Part, float] = SHARES) -> list[Part]:
    """Returns the split of each example.

    It follows from the labels and the groups alone. Each split's share of a class is within one example or 1 % of
    `shares`, where no groups are larger than one. Larger groups, which are never divided, come as near as they can;
    those of more than the smallest share are put into the first split. A class gets an example in every split where it
    has as many groups as there are splits.

    Where a class is large, adding examples moves no other; else those next to a boundary may move. The order in a class
    is by a hash of the groups' names.

    Args:
        labels: (n,) classes.
        groups: (n,) names; examples of one name come into one split. A group may have several classes.
        shares: The part of every class that a split gets, by the split's name; they sum to 1.
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
    """The splits of the groups of one class, of whose `size` examples some are `given` to splits already."""
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
    """The splits of groups that have several classes: each goes where its classes lack most of their share."""
    lacking = {(label, split): share for label in sizes for split, share in shares.items()}
    split_of = {}
    for group in sorted(groups, key=lambda group: (places[group], group)):
        split_of[group] = max(
            shares, key=lambda split: sum(lacking[label, split] / shares[split] for label in members[group])
        )
        for label, count in members[group].items():
            lacking[label, split_of[group]] -= count / sizes[label]
    return split_of
