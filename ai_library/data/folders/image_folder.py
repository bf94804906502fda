"""`ImageFolderDataSource`: a folder of images with one sub-folder per class."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, whole_number
from ...files.text import counted, listed
from ..examples import ArrayExamples
from ..images.reading import Progress, ReadFiles
from ..source import SPLITS, DataSource, sides
from .division import Copy, Leak, divided, shares_of
from .layout import Layout
from .opened import Opened, opened
from .summary import FolderSummary, warnings_of

_LEAST_IMAGES = 10


class ImageFolderDataSource(DataSource):
    """A folder of images. Each of its sub-folders is a class of that name.

    Of each class 70 % of the images are "train", 15 % "validation" and 15 % "evaluation", within one image or 1 %. The
    split of an image depends on a hash of its name and on the names of its class (see `splitting.stratified`), so that
    new files move at most a few old ones. Images in one sub-folder of a class are a group, which is never divided.
    Copies of an image stay in one split.

    If the sub-folders are named like splits, such as "train" and "test", and contain the classes, they are the splits.
    Missing splits are taken out of "train". See `find_layout`. Copies and groups in several of these splits stay there;
    `summary` warns of them, and `leaks` has them.

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> noise = np.random.default_rng(0).integers(256, size=(20, 32, 32), dtype=np.uint8)
    >>> for number, pixels in enumerate(noise):
    ...     path = Path("pets", ("cat", "dog")[number % 2], f"{number}.png")
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.fromarray(pixels).save(path)
    >>> pets = ImageFolderDataSource("pets", image_size=16)
    >>> pets.class_names, pets.size("train")
    (('cat', 'dog'), 14)

    Args:
        folder: The folder with the sub-folders, each of at least `min_images` images; or a zip archive of such a
            folder; or a CSV file whose rows are a label and the pixels of a square grey image, as those of Kaggle's
            digit-recognizer.
        seed: Seed of the order of the training images.
        image_size: Side of the square into which images are fitted (see `fit_image`), or (height, width), in pixels.
        channels: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).
        labels: A CSV file with the columns path and label, and optionally split and group, for images anywhere in
            `folder`: see `table_layout`. None: sub-folders are classes.
        groups: "folders": images in one sub-folder of a class stay in one split. "none": sub-folders of classes are
            ignored.
        min_images: Fewest images of a class, at least 3, if the library makes the splits.
        skip_broken: Whether to leave out images that cannot be read, instead of raising an error.
        progress: Shows the progress of the reading: see `read_all`.

    Raises:
        InputError: There are fewer than two classes, or some have too few images or no readable one; the message names
            them. An `UnreadableImagesError` when a split is first used: some images cannot be read; it names them.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        labels: str | Path | None = None,
        groups: Literal["folders", "none"] = "folders",
        min_images: int = _LEAST_IMAGES,
        skip_broken: bool = False,
        progress: Progress | None = None,
    ):
        if groups not in ("folders", "none"):
            raise InputError(f"groups must be 'folders' or 'none', got {groups!r}")
        self._skip_broken, self._progress = skip_broken, progress
        self._opened: Opened = opened(folder, labels, groups=groups == "folders")
        self._layout: Layout = self._opened.layout
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=self._layout.class_names)
        self._check_numbers(whole_number("min_images", min_images, 3, 2**31))

    def settings(self) -> dict[str, Any]:
        """The settings of a source, with a digest of the names of all images."""
        names = sorted(self.name_of(file.path) for file in self._layout.files)
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        return {**super().settings(), "files": digest}

    def load(self, split: str) -> ArrayExamples:
        """Returns the examples of a split. All images are read once, when a split is first used."""
        own = self._slice(split)
        return ArrayExamples(self.read.images[own], self._labels(split))

    def paths(self, split: str) -> list[Path]:
        """Returns the files of a split, in the order of its examples."""
        return [self._layout.files[index].path for index in self.read.kept[self._slice(split)]]

    def name_of(self, path: Path) -> str:
        """Returns the path of a file relative to the folder of the classes or splits."""
        return path.relative_to(self._layout.root).as_posix()

    def summary(self, *, for_folds: bool = False) -> FolderSummary:
        """Returns a table of the folder's content: classes, splits, image sizes and modes, and files left out.

        Args:
            for_folds: Whether the images will be divided by `folds`, which keeps copies and groups together, instead of
                by these splits. There is then no warning of copies or groups in two splits.
        """
        layout, read, names, told = self._layout, self.read, self.class_names, self._opened.told
        counts = {split: np.bincount(self._labels(split), minlength=len(names)).tolist() for split in self.splits}
        division = self._read_and_divided[1]
        passed_over = layout.passed_over + Counter({"that cannot be read": len(read.faults)})
        sizes, leaks = Counter(read.sizes), () if for_folds else (*division.of_splits, *self._leaked())
        unusual = warnings_of(names, counts, sizes, self.image_shape[:2])
        return FolderSummary(
            class_names=names,
            counts=counts,
            image_sizes=sizes,
            modes=Counter(read.modes),
            passed_over=passed_over,
            notes=tuple(map(told, (*layout.notes, *self._taken_out(), *division.notes, *read.told()))),
            warnings=tuple(map(told, (*layout.warnings, *division.warnings, *leaks, *unusual))),
        )

    @property
    def read(self) -> ReadFiles:
        """All images, in the order of their splits, with remarks on their reading and the unreadable files.

        They are read when this is first used.
        """
        return self._read_and_divided[0]

    @property
    def copies(self) -> tuple[Copy, ...]:
        """The images that are copies of earlier ones, in the order of classes and names, across all splits."""
        return self._read_and_divided[1].copies

    @property
    def not_compared(self) -> str:
        """Why `copies` has only images with the same pixels; "" if it has near copies too."""
        return self._read_and_divided[1].not_compared

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """The images with a copy, or an image of their group, in an earlier split, if the user made the splits."""
        return self._read_and_divided[1].leaks

    def leaked(self, split: str) -> NDArray[np.bool_]:
        """Returns (n,) bool, which examples of a split have a copy or their group in an earlier one: see `leaks`."""
        paths = {leak.path for leak in self.leaks}
        return np.array([path in paths for path in self.paths(split)])

    def groups_of(self, split: str) -> NDArray[np.intp] | None:
        """Returns the group (n,) int of each example of a split; None if every image is its own group."""
        names, groups = np.unique(self._read_and_divided[1].groups, return_inverse=True)
        return groups[self._slice(split)] if len(names) < len(groups) else None

    @cached_property
    def _read_and_divided(self):
        read = self._opened.read(self.image_shape, skip_broken=self._skip_broken, progress=self._progress)
        files = [self._layout.files[index] for index in read.kept]
        division = divided(files, read.images, self.class_names, self._shares)
        order = sorted(range(len(files)), key=lambda index: SPLITS.index(division.splits[index]))
        _reorder(read.images, order)
        sizes, modes = ([each[index] for index in order] for each in (read.sizes, read.modes))
        splits, groups = ([each[index] for index in order] for each in (division.splits, division.groups))
        division = replace(division, splits=splits, groups=groups)
        return replace(read, kept=read.kept[order], sizes=sizes, modes=modes), division

    def _labels(self, split):
        """(n,) int, the labels of a split's examples."""
        return np.array([self._layout.files[index].label for index in self.read.kept[self._slice(split)]], np.int32)

    def _slice(self, split):
        """The slice of a split's examples among all."""
        splits, first = self._read_and_divided[1].splits, SPLITS.index(split)
        start, end = (sum(map(splits.count, SPLITS[:last])) for last in (first, first + 1))
        return slice(start, end)

    @property
    def _shares(self):
        return shares_of(self._layout.splits)

    def _taken_out(self):
        if self._layout.splits and len(self._shares) > 1:
            yield " and ".join(f"{share:.0%} of train are {split}" for split, share in [*self._shares.items()][1:])

    def _leaked(self):
        copies = Counter(leak.split for leak in self.leaks if leak.kind != "same group")
        for split in SPLITS[1:]:
            if count := copies[split]:
                told = counted(count, "image")
                yield f"{told} of {split} with copies in earlier splits: metrics on them are too high"

    def _check_numbers(self, least):
        """Raises `InputError` that names all classes with too few images to divide."""
        if not self._shares:
            return
        counts = Counter(file.label for file in self._layout.files if file.split in (None, "train"))
        few = [f"{name} ({counts[label]})" for label, name in enumerate(self.class_names) if counts[label] < least]
        if few:
            ways = ["add some", "remove the classes"]
            if least > 3:
                ways.append("measure by folds(source, k) of a source with lower min_images")
            root = self._opened.told(self._layout.root)
            raise InputError(
                f"classes with too few images in {root}: {listed(few)}; each needs {least} or more: "
                f"{', '.join(ways[:-1])}, or {ways[-1]}"
            )


def _reorder(images, order):
    """Reorders images in place, because those of a folder may fill much of the memory."""
    order = np.array(order)
    for start in range(len(order)):
        if order[start] == start:
            continue
        kept, here = images[start].copy(), start
        while order[here] != start:
            source, order[here] = order[here], here
            images[here], here = images[source], source
        images[here], order[here] = kept, here
