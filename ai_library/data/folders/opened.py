"""Opens a user's images: a folder, a zip of a folder, a table of labels, or a table of pixels."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import InputError
from ...files.unpacked import Unpacked
from ..images.fitting import fit_image
from ..images.reading import Progress, ReadFiles, read_all
from .file_kinds import file_passed_over
from .image_files import IMAGE_ENDINGS
from .label_table import class_order, table_layout
from .layout import ImageFile, Layout, find_layout
from .pixel_table import PixelTable, is_table, read_pixels


class Opened(Protocol):
    """Images that were found but not yet read."""

    @property
    def layout(self) -> Layout:
        """The images with their classes and splits."""
        ...

    def read(self, image_shape: Sequence[int], *, skip_broken: bool, progress: Progress | None) -> ReadFiles:
        """Reads all files of the layout, in its order: see `read_all`."""
        ...

    def told(self, what: object) -> str:
        """Replaces the temporary folder of an unpacked archive by the archive's path, in a path or text."""
        ...


def opened(path: str | Path, labels: str | Path | None, *, groups: bool) -> Opened:
    """Finds the images of a folder, of a zip of a folder, or of a CSV file of pixels.

    Args:
        path: The folder or file.
        labels: A table of labels: see `table_layout`. None: sub-folders are classes.
        groups: Whether images in one sub-folder of a class, or of one group in the table, stay in one split.

    Raises:
        InputError: It is none of these, or has no images to train on: see `find_layout`.
    """
    path = Path(path)
    if is_table(path):
        if labels:
            raise InputError(f"{path} has its labels in its first column: leave {labels} out")
        return _Pixels(path)
    return _Files(path, labels, groups)


def is_zip(path: str | Path) -> bool:
    """Whether a path is a zip archive, by its content."""
    return Path(path).is_file() and zipfile.is_zipfile(path)


def unpacked_images(path: str | Path) -> Unpacked:
    """Unpacks a zip archive into a temporary folder; files that are not images are empty there, only counted."""
    return Unpacked(path, lambda name: not file_passed_over(name.replace("\\", "/").rpartition("/")[2], IMAGE_ENDINGS))


class _Files:
    """Image files in a folder, or in a zip archive, which stays unpacked during this object's lifetime."""

    def __init__(self, path, labels, groups):
        self._path, self._unpacked = path, unpacked_images(path) if is_zip(path) else None
        folder = self._unpacked.folder if self._unpacked else path
        try:
            self.layout: Layout = (
                table_layout(labels, folder, groups=groups) if labels else find_layout(folder, groups=groups)
            )
        except InputError as error:
            raise InputError(self.told(error)) from error

    def read(self, image_shape, *, skip_broken, progress):
        paths = [file.path for file in self.layout.files]
        return read_all(paths, image_shape, skip_broken=skip_broken, progress=progress, name_of=self.told)

    def told(self, what):
        return str(what).replace(str(self._unpacked.folder), str(self._path)) if self._unpacked else str(what)


class _Pixels:
    """Images in a table of pixels; each row gets a path below that of the table."""

    def __init__(self, path):
        self._table: PixelTable = read_pixels(path)
        if self._table.labels is None:
            raise InputError(f"{path} has no column label before those of the pixels: images to train on need one")
        names = class_order(set(self._table.labels))
        labels = {name: label for label, name in enumerate(names)}
        files = [
            ImageFile(path / f"row {number}", labels[name], f"row {number}", None)
            for number, name in enumerate(self._table.labels, 1)
        ]
        self.layout: Layout = Layout(path, names, tuple(files))

    def read(self, image_shape, *, skip_broken, progress):
        images = self._table.images
        fitted = np.stack([fit_image(image, image_shape) for image in images])
        height, width = images.shape[1:]
        n = len(images)
        return ReadFiles(fitted, np.arange(n), [(width, height)] * n, ["L"] * n)

    def told(self, what):
        return str(what)
