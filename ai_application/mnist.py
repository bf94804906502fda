"""MNIST and Fashion-MNIST as data sources: subclasses of the library's that override only `load`."""

from functools import cached_property
from pathlib import Path

import numpy as np

from ai_library import InputError, ShapeDataSource


class MnistDataSource(ShapeDataSource):
    """MNIST's 70,000 handwritten digits: 28x28 pixels, white on black.

    `evaluation` is the official test set of 10,000. The official training set of 60,000 is divided independently of the
    seed: sorted by digit, every twelfth image belongs to `validation`, which so has 5,000 images, stratified by digit.
    The other 55,000 are `train`.

    Args:
        seed: Seed of the order of the training images.
        data_dir: Folder for the data that tfds prepares.
        files: Folder with the four official files; tfds checks their SHA-256. None: they are downloaded.

    Raises:
        InputError: When a split is first needed: the data cannot be downloaded, read or prepared.
    """

    TFDS_NAME = "MNIST"
    CLASS_NAMES = tuple("0123456789")
    content_size = 20

    def __init__(self, *, seed: int = 0, data_dir: str | Path = "data", files: str | Path | None = None):
        super().__init__(seed=seed, image_size=28, class_names=self.CLASS_NAMES, ranges=None)
        self._data_dir, self._files = data_dir, files

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images (n, 28, 28, 1) uint8 and labels (n,) of a split, prepared and read by tfds."""
        if split == "evaluation":
            return self._read("test")
        images, labels = self._train_split
        held_out = np.zeros(len(labels), bool)
        held_out[np.argsort(labels, kind="stable")[::12]] = True
        chosen = held_out if split == "validation" else ~held_out
        return images[chosen], labels[chosen]

    @cached_property
    def _train_split(self):
        return self._read("train")

    def _read(self, split):
        try:
            import array_record  # noqa: F401 - tfds reads and writes by it

            from .mnist_tfds import read_split
        except ModuleNotFoundError as error:
            raise InputError(
                f"{self.TFDS_NAME} needs the package {error.name}, which is not installed: install it, or where it has "
                "no build, as on Windows, prepare and read the data on Linux or macOS"
            ) from error
        return read_split(self.TFDS_NAME, split, self._data_dir, self._files)


class FashionMnistDataSource(MnistDataSource):
    """Fashion-MNIST: 70,000 articles of clothing, in MNIST's format and with MNIST's division."""

    TFDS_NAME = "FashionMNIST"
    CLASS_NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    content_size = 28
