"""Finds the classes, splits and groups of a folder of images, by names alone."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ...files.text import counted, escaped, listed
from ..class_names import nfc
from .file_kinds import file_passed_over, folder_passed_over, is_image_of_another_kind, reasons_told
from .groups import shared_folders
from .image_files import IMAGE_ENDINGS, is_folder, listing

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    "evaluation": ("test", "testing", "evaluation", "eval"),
}
EMPTY = "empty folders"
_NO_NAMES = {"", "set", "data", "dataset", "images", "imgs", "split"}  # words in a split's name without meaning


class ImageFile(NamedTuple):
    """An image file with its class."""

    path: Path
    label: int
    group: str
    """The group: the image's sub-folder within its class, with a slash at its end, or else a name of the image alone.
    It begins with the class, so that groups of two classes differ."""
    split: str | None
    """The split that the user chose; None if the library chooses it."""


@dataclass(frozen=True)
class Layout:
    """The images of a folder, with their classes, splits and groups."""

    root: Path
    """The folder to which paths in messages are relative."""
    class_names: tuple[str, ...]
    files: tuple[ImageFile, ...]
    """The files, sorted by class, then by name."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Number of files passed over, by reason."""
    notes: tuple[str, ...] = ()
    """How the folder was interpreted, where the user may have meant something else."""
    warnings: tuple[str, ...] = ()
    """Probable mistakes in the folder."""

    @property
    def splits(self) -> frozenset[str]:
        """The splits that the user made; empty if the library makes all."""
        return frozenset(file.split for file in self.files if file.split)


def find_layout(folder: str | Path, *, groups: bool = True) -> Layout:
    """Lists the images of a folder and finds its classes, splits and groups.

    A class is a sub-folder of `folder`; or of two or three sub-folders that are named like splits (train, val, test, or
    other usual names); or of the only sub-folder with images. Names are compared, ordered and grouped in Unicode's
    normal form NFC, so that a copy of the folder on another system has the same splits.

    Args:
        folder: The folder of the images.
        groups: Whether images in one sub-folder of a class are a group.

    Raises:
        InputError: The folder does not exist or cannot be listed, has fewer than two classes, or has classes without
            any image in a readable format; the message names them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "it does not exist"
        raise InputError(f"{folder} is not a folder, {found}: name one with a sub-folder of images for each class")
    found, notes, warnings = [_Entry(*each) for each in walk(folder)], [*_splits_beside(folder)], []
    root = _descended(folder, found, notes)
    splits = _splits(root, found, notes, warnings)
    members = _members(found, splits, root, warnings)
    below = 2 if splits else 1
    shared, ungrouped = shared_folders(
        {name: [tuple(map(nfc, entry.parts[below:-1])) for entry in entries] for name, entries in members.items()}
    )
    files = [
        ImageFile(entry.path, label, f"{name}/{group}", splits.get(entry.parts[0]))
        for label, (name, entries) in enumerate(sorted(members.items()))
        for entry, group in _grouped(entries, tuple(splits), groups, below + len(shared[name]))
    ]
    if count := len({file.group for file in files if file.group.endswith("/")}):
        meant = "are a group" if splits else "stay together in one split"
        notes.append(f"{counted(count, 'sub-folder')} of classes: the images of each {meant}")
    notes += ungrouped if groups else ()
    passed_over = Counter(entry.reason for entry in found if entry.reason)
    return Layout(root, tuple(sorted(members)), tuple(files), passed_over, tuple(notes), tuple(warnings))


@dataclass(slots=True)
class _Entry:
    """A file below the folder, or an empty folder."""

    path: Path
    parts: tuple[str, ...]
    """The names of the folders above it, then its own name, which is "" for an empty folder."""
    reason: str
    """Why it is passed over; "" if it is used."""


def walk(root: Path) -> Iterator[tuple[Path, tuple[str, ...], str]]:
    """Yields (path, parts, reason) of all files below a folder: its own files by name, then those of its sub-folders.

    Raises `InputError` if a folder cannot be listed, or a link leads to a folder that was listed already.
    """
    waiting, listed_already = [((), "")], set()
    while waiting:
        parts, reason = waiting.pop()
        place, folders, files = root.joinpath(*parts), [], []
        if reason and (place.is_symlink() or not os.access(place, os.R_OK | os.X_OK)):
            continue  # it is passed over in any case
        with listing(place):
            status = os.stat(place)
            for entry in sorted(os.scandir(place), key=lambda entry: (nfc(entry.name), entry.name)):
                (folders if is_folder(entry) else files).append(entry.name)
        if (status.st_dev, status.st_ino) in listed_already:
            raise InputError(f"{place} leads to a folder that is there already: remove the link")
        listed_already.add((status.st_dev, status.st_ino))
        if not folders and not files and parts:
            yield place, (*parts, ""), reason or EMPTY
        for name in files:
            yield place / name, (*parts, name), reason or file_passed_over(name, IMAGE_ENDINGS)
        waiting += [((*parts, name), reason or folder_passed_over(name)) for name in reversed(folders)]


def _images(found):
    return [entry for entry in found if not entry.reason]


def _pass_over(found, reason, which):
    """Sets the reason for which images are passed over; returns their number."""
    left_out = [entry for entry in _images(found) if which(entry.parts)]
    for entry in left_out:
        entry.reason = reason
    return len(left_out)


def _descended(root, found, notes):
    """Returns the folder that holds the classes or the splits.

    It descends while only one sub-folder has images, and these lie in folders of their own.
    """
    given = root
    while True:
        tops = {entry.parts[0] for entry in _images(found) if len(entry.parts) > 1}
        if len(tops) != 1 or any(len(entry.parts) == 2 for entry in _images(found)):
            break
        (top,) = tops
        beside = [entry for entry in found if len(entry.parts) > 1 and entry.parts[0] != top]
        empty = any(entry.reason == EMPTY for entry in beside) and not _tells_no_class(top)
        if empty or any(is_image_of_another_kind(entry.reason) for entry in beside):  # it and top are classes
            break
        root = root / top
        _pass_over(found, "beside the folder that holds the classes", lambda parts: len(parts) == 1)
        for entry in found:
            inside = len(entry.parts) > 1 and entry.parts[0] == top
            entry.parts = entry.parts[1:] if inside else ("",)
    if root != given:
        notes.append(f"the classes are in {escaped(str(root.relative_to(given)))}, the one folder with images")
    return root


def _splits(root, found, notes, warnings):
    """The split of each folder that is named like one; empty if the user made no splits.

    If splits are below classes, as in cat/train, the two are swapped in the entries' parts.
    """
    tops = {entry.parts[0] for entry in _images(found) if len(entry.parts) > 1}
    kinds = {_split_name(top) for top in tops}  # classes may be called "positive test" and "negative test"
    untrained = kinds and all(split in ("validation", "evaluation") for split, _ in kinds)
    if untrained and len({rest for _, rest in kinds}) == 1 and len(kinds) == len(tops):
        raise InputError(f"{root} has the splits {listed(sorted(tops))} and none to train on: add a folder train")
    names = _split_names(tops)
    if not names:
        inside = {entry.parts[1] if len(entry.parts) > 2 else "" for entry in _images(found)}
        names = _split_names(inside)
        if not names or inside != names.keys():
            return {}
        for entry in found:
            entry.parts = (*entry.parts[1::-1], *entry.parts[2:])
    with_classes = {entry.parts[0] for entry in _images(found) if len(entry.parts) > 2}
    if missing := [name for name, split in names.items() if split == "train" and name not in with_classes]:
        raise InputError(
            f"{root / missing[0]} holds the images to train on, but no sub-folder for each class: put them into such, "
            "or give their labels in a table"
        )
    told = listed(sorted(names))
    if count := _pass_over(found, "beside the splits", lambda parts: parts[0] not in names):
        warnings.append(f"{counted(count, 'image')} beside the splits {told}: not used")
    if count := _pass_over(found, "in a split, but in no class's folder", lambda parts: len(parts) < 3):
        warnings.append(f"{counted(count, 'image')} in the splits {told}, in no class's folder: not used")
    names = {name: split for name, split in names.items() if name in with_classes}
    _strip_doubled(found, names)
    trained = {entry.parts[1] for entry in _images(found) if names[entry.parts[0]] == "train"}
    for name in list(names):
        if trained.isdisjoint(entry.parts[1] for entry in _images(found) if entry.parts[0] == name):
            count = _pass_over(found, f"in {name}, without labels", lambda parts, name=name: parts[0] == name)
            warnings.append(f"{name} has {counted(count, 'image')} and none of the classes to train on: it is not used")
            del names[name]
    notes.append("the folders are splits: " + ", ".join(f"{names[name]} from {name}" for name in names))
    return names


def _splits_beside(folder):
    """Yields a note if the folder itself is one of several splits."""
    try:
        names = _split_names(name for name in os.listdir(folder.resolve().parent) if not name.startswith("."))
    except OSError:  # the folder above need not be readable
        return
    if others := sorted(names.keys() - {folder.resolve().name}) if folder.resolve().name in names else ():
        yield f"beside {escaped(folder.name)} there is {listed(others)}, not used: the folder above has both as splits"


def _strip_doubled(found, names):
    """Removes a repeated folder between a split and its classes, as in seg_train/seg_train/forest."""
    below = {name: [entry for entry in _images(found) if entry.parts[0] == name] for name in names}
    one = {
        name: entries[0].parts[1]
        for name, entries in below.items()
        if len({entry.parts[1] for entry in entries}) == 1 and all(len(entry.parts) > 3 for entry in entries)
    }
    if all(name in one for name, split in names.items() if split == "train"):  # which has more than one class
        for entry in found:
            if len(entry.parts) > 2 and one.get(entry.parts[0]) == entry.parts[1]:
                entry.parts = (entry.parts[0], *entry.parts[2:])


def split_named(name: str) -> str:
    """The split that a name means, such as "validation" for "Val"; "" if it means none."""
    split, rest = _split_name(name)
    return "" if rest else split


def _split_name(name):
    """The split that a name means, or "", and the other words in the name."""
    words = [word for word in re.findall("[a-z]+", _spaced(name)) if word not in _NO_NAMES]
    for split, known in _SPLIT_WORDS.items():
        rest = tuple(word for word in words if word.removesuffix("set") not in known)
        if len(rest) == len(words) - 1:
            return split, rest
    return "", ()


def _tells_no_class(name):
    """Whether a folder's name is that of a split, or a word like "images", and so not of a class."""
    return bool(_split_name(name)[0]) or _NO_NAMES.issuperset(re.findall("[a-z]+", _spaced(name)))


def _split_names(names):
    """The names that mean splits, as {name: split}, if train and another split are among them."""
    found = {name: _split_name(name) for name in sorted(names) if _split_name(name)[0]}
    for rest in sorted({rest for _, rest in found.values()}, key=lambda rest: (len(rest), rest)):
        alike = {name: split for name, (split, its_rest) in found.items() if its_rest == rest}
        if "train" in alike.values() and len(alike) > 1:
            return dict(sorted(alike.items(), key=lambda item: list(_SPLIT_WORDS).index(item[1])))
    return {}


def _spaced(name):
    """Splits a name into lower-case words: TrainingSet is "training set"."""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", name).casefold()


def _members(found, splits, root, warnings):
    """The entries of each class, by name. Raises an `InputError` that names classes without images."""
    depth = 1 if splits else 0
    if not splits and (count := _pass_over(found, "in no class's folder", lambda parts: len(parts) < 2)):
        warnings.append(f"{counted(count, 'image')} in {escaped(str(root))} itself, in no class's folder: not used")
    places, members = defaultdict(list), defaultdict(list)
    for entry in found:
        if len(entry.parts) < depth + 2 or folder_passed_over(entry.parts[depth]):
            continue
        if not splits or entry.parts[0] in splits:
            places[entry.parts[: depth + 1]].append(entry)
    spelt = {}
    for place, entries in places.items():
        name = nfc(place[-1])
        if spelt.setdefault((place[:-1], name), place) != place:
            raise InputError(f"{root.joinpath(*place)} and another folder have the same name in Unicode: rename one")
        members[name] += [entry for entry in entries if not entry.reason]
    if len(members) < 2 or not any(members.values()):
        raise InputError(_no_classes(root, found, sum(map(bool, members.values()))))
    if without := [place for place, entries in places.items() if not _images(entries)]:
        said = "; ".join(_without(root, depth, places[place]) for place in without[:20])
        more = f" and {len(without) - 20:,} more" if len(without) > 20 else ""
        raise InputError(
            f"folders of classes without an image that can be read: {said}{more}: convert their images, or remove the "
            "folders"
        )
    if splits:
        trained = {name for name, entries in members.items() if any(splits[e.parts[0]] == "train" for e in entries)}
        if untrained := sorted(members.keys() - trained):
            raise InputError(f"the train split of {root} has no images of the classes {listed(untrained)}: add some")
    return members


def _no_classes(root, found, count):
    direct = sum(len(entry.parts) == 1 for entry in found if entry.reason == "in no class's folder")
    others = Counter(entry.reason for entry in found if entry.reason and entry.reason != "in no class's folder")
    told = f", {counted(direct, 'image')} itself" if direct else ""
    told += f", and files passed over: {reasons_told(others)}" if others else ""
    return f"{root} has images in {counted(count, 'sub-folder')}{told}: it needs one for each of 2 classes or more"


def _without(root, depth, entries):
    place = root.joinpath(*entries[0].path.relative_to(root).parts[: depth + 1])
    return f"{place}: {reasons_told(Counter(entry.reason for entry in entries))}"


def _grouped(entries, splits, groups, below):
    """Yields the images of a class with their group: the first sub-folder from `below` on, or their name.

    In all folders of `splits` but the first, which is trained on, the folder is added to the name: images of one name
    in two splits are no group.
    """
    for entry in entries:
        parts = tuple(map(nfc, entry.parts[below:]))
        own = "/".join(parts) + (f" in {entry.parts[0]}" if entry.parts[0] in splits[1:] else "")
        yield entry, (parts[0] + "/" if groups and len(parts) > 1 else own)
