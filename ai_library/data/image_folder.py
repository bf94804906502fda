"""A user's own images as a data source: one sub-folder a class."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .image_files import image_files, listing
from .reading import Progress, ReadFiles, read_all
from .source import SPLITS, DataSource, sides

_SHARES = {"train": 0.7, "validation": 0.15, "evaluation": 0.15}
_MIN_IMAGES = 20


class ImageFolderDataSource(DataSource):
    """Images in the sub-folders of a folder; each sub-folder is a class, named like it.

    70 % of the images are `train`, 15 % `validation` and 15 % `evaluation`. An image's split follows from a hash of its
    name alone, with the folders below its class's that it lies in, so that adding or removing files moves no other one.

    Args:
        folder: Holds the sub-folders, each with 20 images or more. From 40 on all splits get some of a class, all but
            surely; with fewer a split may get none, which is then named.
        seed: Of the order of the training images.
        image_size: Side of the square that images are fitted into (see `fit_image`), or (height, width), in pixels.
        channels: 1 (grey), 2 (grey and its opacity), 3 (colour) or 4 (colour and its opacity).
        skip_broken: Whether to go on without the images that cannot be read.
        progress: Shows how far the reading is: see `read_all`.

    Raises `InputError` that names the folder where there are fewer than two classes, a class with too few images, or a
    split without any of a class; and, when a split is first read, all images that cannot be (`UnreadableImagesError`).
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        skip_broken: bool = False,
        progress: Progress | None = None,
    ):
        self._folder = Path(folder)
        self._skip_broken, self._progress = skip_broken, progress
        if not self._folder.is_dir():
            raise InputError(f"{folder} is no folder: name one with a sub-folder of images for each class")
        with listing(self._folder):
            places = [path for path in sorted(self._folder.iterdir()) if _is_class(path)]
        files = {path.name: list(image_files(path)) for path in places}
        files = {name: paths for name, paths in files.items() if paths}
        if len(files) < 2:
            raise InputError(
                f"{folder} has images in {len(files)} sub-folders: it needs one for each of 2 classes or more"
            )
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=tuple(files))
        self._files = {split: [] for split in SPLITS}
        for label, (name, paths) in enumerate(files.items()):
            if len(paths) < _MIN_IMAGES:
                raise InputError(f"{self._folder / name} has {len(paths)} images: a class needs {_MIN_IMAGES} or more")
            for path in paths:
                name_in_class = path.relative_to(self._folder / name).as_posix()
                self._files[_split_of(name_in_class)].append((path, label))
        for split, members in self._files.items():
            for label in sorted(set(range(len(files))) - {label for _, label in members}):
                raise InputError(
                    f"no image of the class {self.class_names[label]!r} falls into the {split} split: add more to "
                    f"{self._folder / self.class_names[label]}"
                )

    def settings(self) -> dict[str, Any]:
        """Besides what every source tells, a digest of the names of all images."""
        names = sorted(str(path.relative_to(self._folder)) for files in self._files.values() for path, _ in files)
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        return {**super().settings(), "files": digest}

    @cached_property
    def read(self) -> ReadFiles:
        """All images, those of the first split first: what had to be done to read them, and which cannot be read."""
        paths = [path for files in self._files.values() for path, _ in files]
        return read_all(paths, self.image_shape, skip_broken=self._skip_broken, progress=self._progress)

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        first = sum(len(self._files[each]) for each in SPLITS[: SPLITS.index(split)])
        start, end = np.searchsorted(self.read.kept, [first, first + len(self._files[split])])
        labels = np.array([label for _, label in self._files[split]], np.int32)
        return self.read.images[start:end], labels[self.read.kept[start:end] - first]


def _is_class(path):
    return path.is_dir() and not path.name.startswith(".")


def _split_of(name):
    """The split that a file belongs to, by the first bytes of a hash of its name, as a number from 0 to 1."""
    place = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    for split, share in _SHARES.items():
        place -= share
        if place < 0:
            return split
    return SPLITS[-1]
