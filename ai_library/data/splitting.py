"""Stratified splits and folds: each gets its share of every class."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

Part = TypeVar("Part", bound="str | int")

SHARES: dict[str, float] = {"train": 0.7, "validation": 0.15, "evaluation": 0.15}
"""The fraction of each class in the splits, if the library makes all three."""
_MOST_STEPS = 30_000  # of a search for groups to move, which take about a tenth of a second
_TOLERANCE = 0.005  # largest error of a boundary between splits, as a fraction of the class, if above half an image


def stratified(labels: Sequence[int], groups: Sequence[str], shares: Mapping[Part, float] = SHARES) -> list[Part]:
    """Returns the split of each example, a function of the labels and the groups alone.

    If every group is a single example, the fraction of a class in each split is within one example or 1 % of `shares`.
    Larger groups are never divided, so the fractions are as near as possible; a group larger than the smallest share
    goes into the first split.

    A class has an example in each split if at least as many of its groups as there are splits have no other class.
    Where classes share groups, a search of limited length looks for a division in which this holds for every class with
    so many groups. In 12,000 random tables of up to ten groups it found one wherever there was one. Else it reduces the
    number of splits that classes lack.

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
    split_of = _shared_out(members, places, sizes, shares)
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


def _shared_out(members, places, sizes, shares):
    """The splits of the groups with several classes: each goes where its classes are furthest below their shares.

    Then some are moved, until each class reaches every split by these groups or can by its own.
    """
    sharing = _Sharing(members, sizes, shares)
    for group in sorted(members, key=lambda group: (places[group], group)):
        if len(members[group]) > 1:
            sharing.move(group, max(shares, key=lambda split: sharing.need(group, split)))
    sharing.mend()
    return sharing.split_of


class _Sharing(Generic[Part]):
    """The splits of the groups with several classes, and what the classes lack in them."""

    def __init__(self, members: Mapping[str, Counter[int]], sizes: Counter[int], shares: Mapping[Part, float]) -> None:
        self.split_of: dict[str, Part] = {}
        self._members, self._sizes, self._shares = members, sizes, shares
        self._lacking = {(label, split): share for label in sizes for split, share in shares.items()}
        self._shared: dict[int, list[str]] = defaultdict(list)
        self._alone, self._reached = Counter[int](), Counter[tuple[int, Part]]()
        self._missing: dict[int, int] = {}
        """Number of splits that a class can reach by none of its groups, if it has enough groups for all."""
        self._steps = 0
        for group, counts in members.items():
            for label in counts:
                if len(counts) > 1:
                    self._shared[label].append(group)
                else:
                    self._alone[label] += 1

    def need(self, group: str, split: Part) -> float:
        """How far the classes of a group are below their shares in a split, as a fraction of the split's share."""
        # the order of the classes, which is that of the rows, does not change an exactly rounded sum
        return math.fsum(self._lacking[label, split] / self._shares[split] for label in self._members[group])

    def move(self, group: str, split: Part) -> None:
        """Puts a group into a split."""
        earlier = self.split_of.get(group)
        self.split_of[group] = split
        for label, count in self._members[group].items():
            if earlier is not None:
                self._lacking[label, earlier] += count / self._sizes[label]
                self._reached[label, earlier] -= 1
            self._lacking[label, split] -= count / self._sizes[label]
            self._reached[label, split] += 1
            missing = sum(not self._reached[label, split] for split in self._shares) - self._alone[label]
            if missing > 0 and self._alone[label] + len(self._shared[label]) >= len(self._shares):
                self._missing[label] = missing
            else:
                self._missing.pop(label, None)

    def mend(self) -> None:
        """Moves groups for as long as classes lack less by it.

        It looks for one group to move, then for two, and so on, but takes at most `_MOST_STEPS` from one success to the
        next.
        """
        moves = self._steps = 0
        while self._missing and moves < len(self.split_of) and self._steps < _MOST_STEPS:
            moves += 1
            before = self._missing.copy()
            if any(self._mends(label, moves, before, frozenset()) for label in sorted(before)):
                moves = self._steps = 0

    def _mends(self, label, moves, before, moved):
        """Whether moves of up to so many groups leave less missing than `before`; these are made, or else none.

        A group of the class that lacks one goes into a split that it lacks. In any division without a lack there is
        such a group, so no division is overlooked. Groups that were `moved` stay.
        """
        splits = [split for split in self._shares if not self._reached[label, split]]
        ways = [(group, split) for group in self._shared[label] if group not in moved for split in splits]
        for group, split in sorted(ways, key=lambda way: (round(self._loss(*way), 9), way[0])):
            self._steps += 1 + len(before)
            if self._steps > _MOST_STEPS:
                return False
            earlier = self.split_of[group]
            self.move(group, split)
            if sum(self._missing.values()) < sum(before.values()):
                return True
            if moves > 1 and self._mends(self._worst(before), moves - 1, before, moved | {group}):
                return True
            self.move(group, earlier)
        return False

    def _worst(self, before):
        """A class that lacks a group, preferably one that lacks more than `before`, and that few groups can mend."""
        return min(
            self._missing,
            key=lambda label: (self._missing[label] <= before.get(label, 0), len(self._shared[label]), label),
        )

    def _loss(self, group, split):
        """How much further the classes of a group are from their shares if it moves into a split."""
        return self.need(group, self.split_of[group]) - self.need(group, split)
