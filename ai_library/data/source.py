"""Where examples come from: `ShapeDataSource`, and what a subclass inherits from it."""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import jax
import numpy as np

from ..errors import InputError, check_image_shape, whole_number
from ..files.text import is_printable
from .rendering import SHAPES, Factors, ShapeRanges, check_drawable, draw
from .shuffling import shuffled

SPLITS = ("train", "validation", "evaluation")


class Examples(Protocol):
    """The examples of one split, which can be asked for in any order."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (b, h, w, c) uint8 and labels (b,) int32 of the indices (b,)."""


class ArrayExamples:
    """`Examples` held in memory: images (n, h, w, c) uint8 and labels (n,), whole numbers.

    Raises `InputError` where they are something else.
    """

    def __init__(self, images, labels):
        images, labels = np.asanyarray(images), np.asarray(labels)
        if images.ndim != 4 or images.dtype != np.uint8:
            raise InputError(f"images are {images.dtype}{images.shape}: they need to be uint8 (n, h, w, c)")
        if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"labels are {labels.dtype}{labels.shape}: they need to be a whole number for each image")
        self._images, self._labels = images, labels.astype(np.int32)
        if (self._labels != labels).any():
            raise InputError(f"labels run from {labels.min()} to {labels.max()}: they need to be the classes' numbers")

    def __len__(self):
        return len(self._labels)

    def __getitem__(self, indices):
        return self._images[indices], self._labels[indices]


class ShapeDataSource:
    """Generated images of shapes, labelled by the shape they show.

    Example `i` of a split is a pure function of (seed, split, i), and the order of an epoch one of (seed, epoch): runs
    repeat, and nothing needs to be stored. Splits never share an example. The classes take turns, so that every split
    is balanced.

    A source of other data is a subclass that overrides one hook, `_load(split)`; the checks, the order, the batches
    and the preview are inherited.

    Args:
        seed: Of the images and of their order, from 0 to 2**32 - 1.
        image_size: Side of the square images in pixels, from 16 up.
        channels: 1 (grey) or 3 (colour).
        class_names: What the labels 0, 1, ... mean; for shapes, names out of `SHAPES`.
        sizes: Number of examples in train, validation and evaluation. A larger split begins with the same examples.
        ranges: What the factors of the shapes are drawn from; None in a subclass, which draws none.

    Raises `InputError` for arguments that do not fit.
    """

    content_size: int | None = None
    """A subclass whose images show one light thing on black, centred and all of one size, names that size in pixels:
    `predict.py` then brings other images into that form (see `fit_image`)."""

    def __init__(
        self,
        *,
        seed: int = 0,
        image_size: int = 64,
        channels: int = 1,
        class_names: tuple[str, ...] = SHAPES,
        sizes: tuple[int, int, int] = (20_000, 2_000, 10_000),
        ranges: ShapeRanges | None = ShapeRanges(),
    ):
        seed = whole_number("seed", seed, 0, 2**32 - 1)
        image_shape = check_image_shape((image_size, image_size, channels))
        if not isinstance(class_names, (tuple, list)):
            raise InputError(f"class_names={class_names!a} do not fit: give a tuple of names")
        for name in class_names:
            if not isinstance(name, str) or not is_printable(name):
                raise InputError(f"the class name {name!a} does not fit: it needs to be printable text, rename it")
        if len(class_names) < 2 or len(set(class_names)) != len(class_names):
            raise InputError(f"class names {tuple(class_names)} do not fit: name 2 or more, each once")
        if ranges is not None:
            check_drawable(class_names, image_size, ranges)
        if not isinstance(sizes, (tuple, list)) or len(sizes) != len(SPLITS):
            raise InputError(f"sizes={sizes!r} do not fit: give the number of examples in {', '.join(SPLITS)}")
        self.seed = seed
        self.class_names = tuple(class_names)
        self.image_shape = image_shape
        self._sizes = {
            split: whole_number(f"size of {split}", size, 1, 2**32 - 1)
            for split, size in zip(SPLITS, sizes, strict=True)
        }
        self._ranges = ranges
        self._loaded: dict[str, Examples] = {}

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def size(self, split: str) -> int:
        """Number of examples in a split."""
        return len(self._examples(split))

    def examples(self, split: str, indices) -> tuple[np.ndarray, np.ndarray]:
        """Images (b, h, w, c) uint8 and labels (b,) int32 of the `indices` (b,) of a split.

        Raises `InputError` where there are no such indices, or where a subclass gives images of another shape than it
        has said, or other labels than those of its classes.
        """
        images, labels = self._examples(split)[self._checked(split, indices)]
        if images.shape[1:] != self.image_shape:
            raise InputError(f"the {split} split has images {images.shape[1:]}, but the source says {self.image_shape}")
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise InputError(
                f"the {split} split has labels from {labels.min()} to {labels.max()}: the {self.num_classes} classes "
                f"have 0 to {self.num_classes - 1}"
            )
        return images, labels

    def example(self, split: str, index: int) -> tuple[np.ndarray, int]:
        """One image (h, w, c) uint8 and its label: the same bits as in any batch that holds it."""
        images, labels = self.examples(split, [index])
        return images[0], int(labels[0])

    def factors(self, split: str, indices) -> Factors | None:
        """What the images of the `indices` (b,) show, in numpy arrays; None where a source does not know."""
        examples, indices = self._examples(split), self._checked(split, indices)
        return examples.factors(indices) if hasattr(examples, "factors") else None

    def batches(
        self,
        split: str,
        batch_size: int,
        epoch: int | None = None,
        *,
        first: int = 0,
        full: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields a split in batches of images (b, h, w, c) uint8 and labels (b,) int32; holds one at a time.

        Args:
            split: "train", "validation" or "evaluation".
            batch_size: Examples in a batch; the last one holds what is left.
            epoch: Shuffles as this epoch does; None keeps the order of the indices.
            first: The batch to begin with, to go on in the middle of an epoch.
            full: Fills the last batch up with the examples the epoch began with, so that all have one shape.
            part: (i, n) yields only the i-th, from 0, of n parts of each batch, equal where n divides it, which
                together are the batch; the others are not drawn or read.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} does not fit: it needs to be 1 or more")
        size = self.size(split)
        end = -(-size // batch_size) * batch_size if full else size
        index, parts = part
        for start in range(first * batch_size, end, batch_size):
            count = min(start + batch_size, end) - start
            positions = np.arange(start + count * index // parts, start + count * (index + 1) // parts) % size
            yield self.examples(split, positions if epoch is None else shuffled(positions, size, (self.seed, epoch)))

    def show(self, n: int = 27, split: str = "train", columns: int = 9):
        """A matplotlib figure of the first `n` examples with their class names."""
        import matplotlib.pyplot as plt

        n = min(n, self.size(split))
        if n < 1:
            raise InputError("n=0 leaves nothing to show: ask for 1 image or more")
        images, labels = self.examples(split, range(n))
        columns = min(columns, n)
        rows = -(-n // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(1.2 * columns, 1.4 * rows), squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, image, label in zip(axes.flat, images, labels, strict=False):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axis.set_title(self.class_names[label], fontsize=9)
        figure.tight_layout()
        plt.close(figure)  # a notebook would show an open one twice
        return figure

    def __repr__(self):
        height, width, channels = self.image_shape
        return f"{type(self).__name__}: {height}x{width}x{channels} images of {', '.join(self.class_names)}"

    def _repr_html_(self):
        """What a notebook shows."""
        from ..reporting.notebook import source_html

        return source_html(self, {split: self.size(split) for split in SPLITS})

    def settings(self) -> dict:
        """What tells this source from others, as JSON has it: a run's configuration holds it."""
        return {
            "source": type(self).__name__,
            "seed": self.seed,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "sizes": {split: self.size(split) for split in SPLITS},
            "ranges": dataclasses.asdict(self._ranges) if self._ranges else None,
        }

    def _load(self, split: str) -> Examples:
        """The hook: the examples of a split. Called once a split, when it is first needed."""
        return _DrawnExamples(self, split, self._sizes[split], self._ranges)

    def _examples(self, split):
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
        if split not in self._loaded:
            self._loaded[split] = self._load(split)
        return self._loaded[split]

    def _checked(self, split, indices):
        indices, size = np.asarray(indices), self.size(split)
        if indices.ndim != 1 or not (np.issubdtype(indices.dtype, np.integer) or indices.size == 0):
            raise InputError(
                f"indices are {indices.dtype}{indices.shape}: they need to be whole numbers (b,); np.flatnonzero gives "
                "those of a mask"
            )
        indices = indices.astype(np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= size):
            raise InputError(f"split {split!r} has examples 0 to {size - 1}, not {indices.min()} to {indices.max()}")
        return indices


class _DrawnExamples:
    """Shapes drawn when they are asked for.

    Every call of `draw` draws one block of the same size, and what is not needed is dropped: one compiled program
    serves all batch sizes, which keeps an image's bits independent of the batch it comes in.
    """

    BLOCK = 64

    def __init__(self, source, split, size, ranges):
        self._size = size
        self._key = jax.random.fold_in(jax.random.key(source.seed), SPLITS.index(split))
        height, _, channels = source.image_shape
        self._style = {
            "class_names": source.class_names,
            "image_size": height,
            "channels": channels,
            "ranges": ranges,
        }

    def __len__(self):
        return self._size

    def __getitem__(self, indices):
        drawn = [(np.asarray(images)[:n], np.asarray(factors.label)[:n]) for n, images, factors in self._draw(indices)]
        return tuple(map(np.concatenate, zip(*drawn, strict=True)))

    def factors(self, indices):
        drawn = [[np.asarray(leaf)[:n] for leaf in factors] for n, _, factors in self._draw(indices)]
        return Factors(*map(np.concatenate, zip(*drawn, strict=True)))

    def _draw(self, indices):
        """[(number of examples, images and factors of a block that begins with them)], which may still be computed."""
        drawn = []
        for start in range(0, max(len(indices), 1), self.BLOCK):
            used = indices[start : start + self.BLOCK]
            block = np.zeros(self.BLOCK, np.uint32)
            block[: len(used)] = used
            drawn.append((len(used), *draw(self._key, block, **self._style)))
        return drawn
