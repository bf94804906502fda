"""A user's own images as a data source: one sub-folder a class."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..files.text import listed
from .examples import ArrayExamples
from .folder_layout import Layout, find_layout
from .folder_summary import FolderSummary, warnings_of
from .reading import Progress, ReadFiles, read_all
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
        skip_broken: Whether to go on without the images that cannot be read.
        progress: Shows how far the reading is: see `read_all`.

    Raises `InputError` that names the folder where there are fewer than two classes, or all classes that have too few
    images, or none that can be read; and, when a split is first read, all images that cannot be
    (`UnreadableImagesError`).
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        groups: Literal["folders", "none"] = "folders",
        skip_broken: bool = False,
        progress: Progress | None = None,
    ):
        if groups not in ("folders", "none"):
            raise InputError(f"groups must be 'folders' or 'none', got {groups!r}")
        self._skip_broken, self._progress = skip_broken, progress
        self._layout: Layout = find_layout(folder, groups=groups == "folders")
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=self._layout.class_names)
        self._check_numbers()

    def settings(self) -> dict[str, Any]:
        """Besides what every source tells, a digest of the names of all images."""
        names = sorted(str(file.path.relative_to(self._layout.root)) for file in self._layout.files)
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        return {**super().settings(), "files": digest}

    def load(self, split: str) -> ArrayExamples:
        own = self._slices[split]
        labels = [self._layout.files[index].label for index in self.read.kept[own]]
        return ArrayExamples(self.read.images[own], np.array(labels, np.int32))

    def paths(self, split: str) -> list[Path]:
        """Returns the files of a split, in the order of its examples."""
        return [self._layout.files[index].path for index in self.read.kept[self._slices[split]]]

    def summary(self) -> FolderSummary:
        """Returns what was found in the folder, as a table: classes, splits, what images are, and what was left out."""
        layout, read, names = self._layout, self.read, self.class_names
        counts = {
            split: np.bincount(self._examples(split).labels, minlength=len(names)).tolist() for split in self.splits
        }
        passed_over = layout.passed_over + Counter({"that cannot be read": len(read.faults)})
        sizes = Counter(read.sizes)
        remarks = [f"{count:,} images {remark}" for remark, count in sorted(read.remarks.items())]
        return FolderSummary(
            class_names=names,
            counts=counts,
            image_sizes=sizes,
            modes=Counter(read.modes),
            passed_over=passed_over,
            notes=(*layout.notes, *self._taken_out(), *remarks),
            warnings=(*layout.warnings, *warnings_of(names, counts, sizes, self.image_shape[:2])),
        )

    @property
    def read(self) -> ReadFiles:
        """All images, those of a split after those of the one before: what had to be done to read them, and which
        cannot be read. They are read when they are first needed.
        """
        return self._read_and_divided[0]

    @property
    def _slices(self):
        return self._read_and_divided[1]

    @cached_property
    def _read_and_divided(self):
        """The files as they were read, in the order of their splits, and the slice of each split."""
        paths = [file.path for file in self._layout.files]
        read = read_all(paths, self.image_shape, skip_broken=self._skip_broken, progress=self._progress)
        files = [self._layout.files[index] for index in read.kept]
        splits = self._divided(files, [file.group for file in files])
        order = sorted(range(len(files)), key=lambda index: SPLITS.index(splits[index]))
        _reorder(read.images, order)
        ends = np.cumsum([0, *(splits.count(split) for split in SPLITS)]).tolist()
        slices = {split: slice(*ends[index : index + 2]) for index, split in enumerate(SPLITS)}
        sizes, modes = ([each[index] for index in order] for each in (read.sizes, read.modes))
        return replace(read, kept=read.kept[order], sizes=sizes, modes=modes), slices

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
