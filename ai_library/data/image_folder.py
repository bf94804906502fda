"""A user's own images as a data source: one sub-folder a class."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from ..errors import InputError
from ..files.text import listed
from .examples import ArrayExamples
from .folder_layout import Layout, find_layout
from .folder_summary import FolderSummary, warnings_of
from .image_files import read_image
from .source import SPLITS, DataSource, sides
from .splitting import SHARES, stratified

_LEAST_IMAGES = 10


class ImageFolderDataSource(DataSource):
    """Images in the sub-folders of a folder; each sub-folder is a class, named like it.

    70 % of a class's images are `train`, 15 % `validation` and 15 % `evaluation`, within one image or 1 %, so that
    each class has images in each split. An image's split follows from a hash of its name, and from the names beside it
    (see `splitting.stratified`): adding files moves at most a few others. Images in one sub-folder of a class belong
    together, and are never divided.

    Folders that are named like splits, such as `train` and `test`, and have the classes in them, are the splits. Where
    only some of the three are there, the others come out of `train`. See `folder_layout.find_layout`.

    Args:
        folder: Holds the sub-folders, each with 10 images or more, of which some are not in the same sub-folder.
        seed: Of the order of the training images.
        image_size: Side of the square that images are fitted into (see `fit_image`), or (height, width), in pixels.
        channels: 1 (grey), 2 (grey and its opacity), 3 (colour) or 4 (colour and its opacity).
        groups: "folders": images in one sub-folder of a class stay together in one split; "none": sub-folders of
            classes mean nothing.

    Raises `InputError` that names the folder where there are fewer than two classes, or all classes that have too few
    images, or none that can be read; and, when a split is first read, the images that cannot be.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        groups: Literal["folders", "none"] = "folders",
    ):
        if groups not in ("folders", "none"):
            raise InputError(f"groups must be 'folders' or 'none', got {groups!r}")
        self._layout: Layout = find_layout(folder, groups=groups == "folders")
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=self._layout.class_names)
        self._check_numbers()

    def settings(self) -> dict[str, Any]:
        """Besides what every source tells, a digest of the names of all images."""
        names = sorted(str(file.path.relative_to(self._layout.root)) for file in self._layout.files)
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        return {**super().settings(), "files": digest}

    def load(self, split: str) -> ArrayExamples:
        return self._read.examples[split]

    def paths(self, split: str) -> list[Path]:
        """Returns the files of a split, in the order of its examples."""
        return self._read.paths[split]

    def summary(self) -> FolderSummary:
        """Returns what was found in the folder, as a table: classes, splits, what images are, and what was left out."""
        layout, read, names = self._layout, self._read, self.class_names
        counts = {
            split: np.bincount(read.examples[split].labels, minlength=len(names)).tolist() for split in self.splits
        }
        return FolderSummary(
            class_names=names,
            counts=counts,
            image_sizes=read.sizes,
            modes=read.modes,
            passed_over=layout.passed_over,
            notes=(*layout.notes, *self._taken_out()),
            warnings=(*layout.warnings, *warnings_of(names, counts, read.sizes, self.image_shape[:2])),
        )

    @cached_property
    def _read(self):
        """All images, read and divided."""
        files = self._layout.files
        images, sizes, modes = _read_all([file.path for file in files], self.image_shape)
        splits = self._divided(files, [file.group for file in files])
        order = sorted(range(len(files)), key=lambda index: SPLITS.index(splits[index]))
        _reorder(images, order)
        examples, paths, start = {}, {}, 0
        for split in SPLITS:
            members = order[start : start + splits.count(split)]
            labels = np.array([files[index].label for index in members], np.int32)
            examples[split] = ArrayExamples(images[start : start + len(members)], labels)
            paths[split] = [files[index].path for index in members]
            start += len(members)
        return _Read(examples, paths, Counter(sizes), Counter(modes))

    def _divided(self, files, groups):
        """The split of each file, of which those of one group stay together, and each class has some in each."""
        shares, splits = self._shares, [file.split or "" for file in files]
        free = [index for index, file in enumerate(files) if shares and file.split in (None, "train")]
        made = stratified([files[index].label for index in free], [groups[index] for index in free], shares)
        for index, split in zip(free, made, strict=True):
            splits[index] = split
        found = {(files[index].label, splits[index]) for index in free}
        lacking = [
            name for label, name in enumerate(self.class_names) if any((label, split) not in found for split in shares)
        ]
        if lacking:
            raise InputError(
                f"{len(lacking):,} classes in {self._layout.root} cannot be divided into {', '.join(shares)}: "
                f"{listed(lacking)}; each needs {len(shares)} groups of images or more, and images in one sub-folder "
                "are a group: add some, or use groups='none' where sub-folders mean nothing"
            )
        return splits

    @property
    def _shares(self):
        """What of the images that the user did not divide each split gets; empty where there is nothing to divide."""
        made = self._layout.splits
        if not made:
            return SHARES
        out_of_train = {split: SHARES[split] for split in SPLITS if split not in made}
        return {"train": 1 - sum(out_of_train.values()), **out_of_train} if out_of_train else {}

    def _taken_out(self):
        if self._layout.splits and len(self._shares) > 1:
            yield " and ".join(f"{share:.0%} of train are {split}" for split, share in [*self._shares.items()][1:])

    def _check_numbers(self):
        """Raises `InputError` that names all classes with too few images to divide."""
        if not self._shares:
            return
        counts = Counter(file.label for file in self._layout.files if file.split in (None, "train"))
        few = [
            f"{name} ({counts[label]})" for label, name in enumerate(self.class_names) if counts[label] < _LEAST_IMAGES
        ]
        if few:
            raise InputError(
                f"{len(few):,} classes in {self._layout.root} have too few images: {listed(few)}; each needs "
                f"{_LEAST_IMAGES} or more: add some, or remove the classes"
            )


class _Read(NamedTuple):
    examples: dict[str, ArrayExamples]
    paths: dict[str, list[Path]]
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]


def _read_all(paths, image_shape):
    images, faults, sizes, modes = np.empty((len(paths), *image_shape), np.uint8), [], [], []
    for index, path in enumerate(paths):
        try:
            images[index] = read_image(path, image_shape)
        except InputError as error:
            faults.append(f"{path} {error}")
            continue
        with Image.open(path) as header:
            sizes.append(header.size)
            modes.append(header.mode)
    if faults:
        raise InputError(
            f"{len(faults)} of {len(paths)} images cannot be used: {'; '.join(faults[:3])}: remove or replace them"
        )
    return images, sizes, modes


def _reorder(images, order):
    """Puts images into another order in place: all of a folder may fill much of the memory."""
    order = np.array(order)
    for start in range(len(order)):
        if order[start] == start:
            continue
        kept, here = images[start].copy(), start
        while order[here] != start:
            source, order[here] = order[here], here
            images[here], here = images[source], source
        images[here], order[here] = kept, here
