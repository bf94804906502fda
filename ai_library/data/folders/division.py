"""Divides the images of a folder into splits, and keeps copies of an image in one split."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...files.text import counted, listed
from ..images.copies import LEAST_SIDE, joined, near_copies, same_pixels
from ..source import SPLITS
from ..splitting import SHARES, stratified
from .layout import ImageFile

_MOST_COMPARED = 50_000  # so many take about a minute; the time is quadratic


class Leak(NamedTuple):
    """An image that depends on one in an earlier split, where the user made the splits."""

    path: Path
    """As the source's `paths` has it."""
    split: str
    other: Path
    """The image in the earlier split."""
    other_split: str
    kind: str
    """The first that holds: "same pixels", "nearly the same" (see `near_copies`), or "same group"."""


class Copy(NamedTuple):
    """An image that is a copy of an earlier one, in the order of classes and names."""

    path: Path
    """As the source's `paths` has it."""
    copy: Path
    """The image that it is a copy of."""
    same_pixels: bool
    """Whether the two have the same pixels; else they are nearly the same: see `near_copies`."""


@dataclass(frozen=True)
class Division:
    """The division of images into splits."""

    splits: list[str]
    """The split of each image."""
    groups: list[str]
    """The group of each image, by its folder and its copies."""
    copies: tuple[Copy, ...]
    """The images that are copies of earlier ones, each once."""
    not_compared: str
    """Why near copies were not searched for; "" if they were."""
    leaks: tuple[Leak, ...]
    """The images with a copy, or an image of their group, in an earlier split, if the user made the splits."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    of_splits: tuple[str, ...]
    """Warnings about the splits that the user made, which folds are free of."""


def shares_of(made: frozenset[str]) -> dict[str, float]:
    """The fraction of the undivided images that goes to each split, if the user has `made` some splits.

    Missing splits are taken out of train. It is empty if there is nothing to divide.
    """
    if not made:
        return SHARES
    out_of_train = {split: SHARES[split] for split in SPLITS if split not in made}
    return {"train": 1 - sum(out_of_train.values()), **out_of_train} if out_of_train else {}


def divided(
    files: Sequence[ImageFile], images: NDArray[np.uint8], class_names: tuple[str, ...], shares: Mapping[str, float]
) -> Division:
    """Divides the images that the user did not divide. Of these, images of one group, and copies, are in one split.

    Args:
        files: The n files.
        images: (n, h, w, c) uint8, their images.
        class_names: Names of the labels 0, 1, ...
        shares: The result of `shares_of`.

    Raises:
        InputError: Classes have too few groups of images for all splits; the message names them.
    """
    trained = {file.label for file in files if file.split in (None, "train")}
    if without := [name for label, name in enumerate(class_names) if label not in trained]:
        raise InputError(
            f"classes without an image to train on that can be read: {listed(without)}: mend their "
            "images, or remove the classes"
        )
    same = list(same_pixels(images))
    not_compared = _why_not_compared(images)
    near = [] if not_compared else list(near_copies(images))
    made = {file.split for file in files} - {None}
    notes = _told(same, near, not_compared, kept="" if made else " are kept in one split")
    warnings = _mislabelled(files, same)
    free = [index for index, file in enumerate(files) if shares and file.split in (None, "train")]
    labels = [files[index].label for index in free]
    groups, alike = _groups(files, same, near), set()
    if few := _too_few(files, groups, free, shares):
        rest = [index for index, file in enumerate(files) if file.label not in few]
        groups = _groups(files, same, [(rest[one], rest[other]) for one, other in near_copies(images[rest])])
        alike = few - _too_few(files, groups, free, shares)
        few -= alike
    if few and free:
        names = listed([class_names[label] for label in sorted(few)])
        raise InputError(
            f"classes that cannot be divided into {', '.join(shares)}: {names}; each needs {len(shares)} "
            "groups of images or more, and images in one sub-folder, and copies, are a group: add images, or "
            "use groups='none' where sub-folders mean nothing"
        )
    if alike:
        names = listed([class_names[label] for label in sorted(alike)])
        warnings.append(
            f"the images of {names} are nearly the same within their class, but are divided nevertheless: metrics on "
            "them will be too high"
        )
    splits = [file.split or "" for file in files]
    for index, split in zip(free, stratified(labels, [groups[index] for index in free], shares), strict=True):
        splits[index] = split
    leaks = _leaks(files, splits, same, near) if len(made) > 1 else ()
    copies = _copies(files, same, near)
    return Division(splits, groups, copies, not_compared, leaks, tuple(notes), tuple(warnings), tuple(_spanning(files)))


def _why_not_compared(images):
    """Why near copies among images (n, h, w, c) are not searched for, as a sentence; "" if they are."""
    if len(images) > _MOST_COMPARED:
        return f"near copies are not looked for among more than {_MOST_COMPARED:,} images"
    if min(images.shape[1:3]) < LEAST_SIDE:
        return f"near copies are not looked for in less than {LEAST_SIDE}x{LEAST_SIDE} pixels"
    return ""


def _groups(files, *pairs):
    """The name of each file's group, by its folder and its copies: the first name among them."""
    first: dict[str, int] = {}
    by_folder = [(first.setdefault(file.group, index), index) for index, file in enumerate(files)]
    roots = joined(len(files), chain(by_folder, *pairs))
    names = defaultdict(list)
    for root, file in zip(roots, files, strict=True):
        names[root].append(file.group)
    first_names = {root: min(its_names) for root, its_names in names.items()}
    return [first_names[root] for root in roots]


def _too_few(files, groups, free, shares):
    """The classes that have fewer groups of `free` images than there are splits to divide them into.

    If the user divided all images, folds may still divide them anew.
    """
    members, least = defaultdict(set), len(shares) if free else len(SPLITS)
    for index in free or range(len(files)):
        members[files[index].label].add(groups[index])
    return {label for label, its_groups in members.items() if len(its_groups) < least}


def _told(same, near, not_compared, kept):
    """A note on copies, if there are any, and on why near copies were not searched for."""
    nearly = len({index for pair in near for index in pair} - {index for pair in same for index in pair})
    parts = [f"{counted(len(same), 'image')} with the same pixels as another"] if same else []
    parts += [f"{counted(nearly, 'image')} nearly the same as another"] if nearly else []
    parts += [not_compared] if not_compared else []
    return [f"copies{kept}: {'; '.join(parts)}"] if parts else []


def _mislabelled(files, same):
    """A warning if images of two classes have the same pixels."""
    wrong = [pair for pair in same if files[pair[0]].label != files[pair[1]].label]
    if not wrong:
        return []
    one, other = (files[index] for index in wrong[0])
    return [
        f"{counted(len(wrong), 'image')} with the pixels of an image of another class, such as {one.path} and "
        f"{other.path}: one of the labels is wrong"
    ]


def _spanning(files):
    """Warnings that name groups in several of the user's splits, one for each set of splits."""
    sizes, spanning = defaultdict(Counter), defaultdict(list)
    for file in files:
        sizes[file.group][file.split] += 1
    for group, size in sizes.items():
        if len(size) > 1:
            spanning[tuple(split for split in SPLITS if split in size)].append(group)
    for splits, groups in sorted(spanning.items()):
        n = sum(sizes[group][splits[-1]] for group in groups)
        yield (
            f"{counted(len(groups), 'group')} of images in {' and '.join(splits)}: "
            f"{listed(sorted(group.removesuffix('/') for group in groups), 5)}: metrics on {counted(n, 'image')} of "
            f"{splits[-1]} are too high: put each group into one split, or use groups='none' if groups mean nothing"
        )


def _copies(files, same, near):
    """Each image that is a copy of an earlier one, with the first original, preferably one with the same pixels."""
    exact, alike = joined(len(files), same), joined(len(files), chain(same, near))
    found = []
    for index, file in enumerate(files):
        one = exact[index] if exact[index] != index else alike[index]
        if one != index:
            found.append(Copy(file.path, files[one].path, one == exact[index]))
    return tuple(found)


def _leaks(files, splits, same, near):
    """The images with a copy, or an image of their group, in an earlier split."""
    alike = {
        "same pixels": joined(len(files), same),
        "nearly the same": joined(len(files), chain(same, near)),
        "same group": [file.group for file in files],
    }
    order, found = sorted(range(len(files)), key=lambda index: SPLITS.index(splits[index])), {}
    for kind, names in alike.items():
        earliest = {}
        for index in order:
            other = earliest.setdefault(names[index], index)
            if splits[other] != splits[index]:
                leak = Leak(files[index].path, splits[index], files[other].path, splits[other], kind)
                found.setdefault(index, leak)
    return tuple(sorted(found.values()))
