"""Divides the images of a folder into splits, so that no image lies in one split and a copy of it in another."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.text import listed
from .copies import joined, near_copies, same_pixels
from .folder_layout import ImageFile
from .source import SPLITS
from .splitting import SHARES, stratified

_MOST_COMPARED = 50_000  # which takes about a minute; the time grows with the square


class Leak(NamedTuple):
    """An image in a split of the user's that is in another one too."""

    path: Path
    """As the source's `paths` has it."""
    split: str
    copy: Path
    """The image that it is a copy of."""
    copy_split: str
    same_pixels: bool
    """Whether the two have the same pixels; else they are nearly the same: see `near_copies`."""


@dataclass(frozen=True)
class Division:
    """The splits of images."""

    splits: list[str]
    """The split of each image."""
    groups: list[str]
    """What each image belongs to, by its folder and its copies."""
    leaks: tuple[Leak, ...]
    """The images of which a copy is in an earlier split, where the user made these."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def shares_of(made: frozenset[str]) -> dict[str, float]:
    """What of the images that the user did not divide each split gets, where the user `made` these splits; what is
    missing comes out of train. Empty where there is nothing to divide.
    """
    if not made:
        return SHARES
    out_of_train = {split: SHARES[split] for split in SPLITS if split not in made}
    return {"train": 1 - sum(out_of_train.values()), **out_of_train} if out_of_train else {}


def divided(
    files: Sequence[ImageFile], images: NDArray[np.uint8], class_names: tuple[str, ...], shares: Mapping[str, float]
) -> Division:
    """Divides what the user did not: images of one group, and copies, come into one split.

    Args:
        files: n files.
        images: (n, h, w, c), as they were read.
        class_names: Of their labels.
        shares: As `shares_of` gives them.

    Raises:
        InputError: Classes have too few groups of images to have some in each split; all are named.
    """
    trained = {file.label for file in files if file.split in (None, "train")}
    if without := [name for label, name in enumerate(class_names) if label not in trained]:
        raise InputError(
            f"classes without an image to train on that can be read: {listed(without)}: mend their "
            "images, or remove the classes"
        )
    same = list(same_pixels(images))
    near = list(near_copies(images)) if len(images) <= _MOST_COMPARED else []
    notes, warnings = _told(files, same, near), _mislabelled(files, same)
    leaks = _leaks(files, same, near)
    free = [index for index, file in enumerate(files) if shares and file.split in (None, "train")]
    labels = [files[index].label for index in free]
    groups, alike = _groups(files, same, near), set()
    if few := _too_few(labels, [groups[index] for index in free], len(shares)):
        apart = [pair for pair in near if not few & {files[index].label for index in pair}]
        groups = _groups(files, same, apart)
        alike = few - _too_few(labels, [groups[index] for index in free], len(shares))
        few -= alike
    if few:
        names = listed([class_names[label] for label in sorted(few)])
        raise InputError(
            f"classes that cannot be divided into {', '.join(shares)}: {names}; each needs {len(shares)} "
            "groups of images or more, and images in one sub-folder, and copies, are a group: add images, or "
            "use groups='none' where sub-folders mean nothing"
        )
    if alike:
        names = listed([class_names[label] for label in sorted(alike)])
        warnings.append(
            f"the images of {names} are nearly the same within their class, and are divided all the same: what is "
            "measured of them will be too good"
        )
    splits = [file.split or "" for file in files]
    for index, split in zip(free, stratified(labels, [groups[index] for index in free], shares), strict=True):
        splits[index] = split
    return Division(splits, groups, leaks, tuple(notes), tuple(warnings))


def _groups(files, *pairs):
    """The name of what each file belongs to, by its folder and its copies: the first of their names."""
    first: dict[str, int] = {}
    by_folder = [(first.setdefault(file.group, index), index) for index, file in enumerate(files)]
    roots = joined(len(files), chain(by_folder, *pairs))
    names = defaultdict(list)
    for root, file in zip(roots, files, strict=True):
        names[root].append(file.group)
    first_names = {root: min(its_names) for root, its_names in names.items()}
    return [first_names[root] for root in roots]


def _too_few(labels, groups, least):
    """The classes that have fewer groups than there are splits."""
    members = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        members[label].add(group)
    return {label for label, its_groups in members.items() if len(its_groups) < least}


def _told(files, same, near):
    """A note on copies, where there are any."""
    nearly = len({index for pair in near for index in pair} - {index for pair in same for index in pair})
    parts = [f"{len(same):,} images have the same pixels as others"] if same else []
    parts += [f"{nearly:,} images are nearly the same as others"] if nearly else []
    if len(files) > _MOST_COMPARED:
        parts.append(f"near copies are not looked for among more than {_MOST_COMPARED:,}")
    return [f"copies are kept in one split: {'; '.join(parts)}"] if parts else []


def _mislabelled(files, same):
    """A warning where images of two classes have the same pixels."""
    wrong = [pair for pair in same if files[pair[0]].label != files[pair[1]].label]
    if not wrong:
        return []
    one, other = (files[index] for index in wrong[0])
    return [
        f"{len(wrong):,} images have the pixels of an image of another class, such as {one.path} and {other.path}: one "
        "of the labels is wrong"
    ]


def _leaks(files, same, near):
    """The images whose copies the user put into an earlier split."""
    if len({file.split for file in files} - {None}) < 2:
        return ()
    exact, members = joined(len(files), same), defaultdict(list)
    for index, root in enumerate(joined(len(files), chain(same, near))):
        members[root].append(index)
    found = []
    for group in members.values():
        ordered = sorted(group, key=lambda index: SPLITS.index(files[index].split))
        for index in ordered:
            earlier = [each for each in ordered if SPLITS.index(files[each].split) < SPLITS.index(files[index].split)]
            if earlier:
                copy = next((each for each in earlier if exact[each] == exact[index]), earlier[0])
                one, other = files[index], files[copy]
                found.append(Leak(one.path, one.split, other.path, other.split, exact[copy] == exact[index]))
    return tuple(sorted(found))
