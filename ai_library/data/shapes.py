"""`ShapeDataSource`: generated images of shapes, without files and in any number."""

import copy
import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, whole_number
from ..runtime.jax_settings import random_key, settings
from .conditions import Conditions
from .design import HELD_OUT, Design, Style
from .examples import Batch, DeviceExamples, Examples
from .factor_grid import HeldOut
from .faults import SpuriousCue
from .rendering import describe_compiled, draw, draw_compiled, limits_of
from .shape_factors import RANGED, SHAPES, Factors, ShapeRanges, check_drawable
from .source import SPLITS, DataSource, sides


class ShapeDataSource(DataSource):
    """Generated images of shapes, labelled by the shape they show.

    Example `i` of a split is a pure function of (seed, split, i), and the order of an epoch is one of (seed, epoch), so
    that runs are reproducible and nothing is stored. Splits never share an example. The classes alternate, so that
    every split is balanced.

    `hold_out` keeps combinations of class and factors out of train, validation and evaluation. The additional split
    "held_out" has only these combinations. So accuracy on "evaluation" measures what was learnt, and accuracy on
    "held_out" what it generalises to. The last three arguments are faults of both train and validation, as in real
    data, where both come from one collection; "evaluation" and "held_out" have no faults.

    A subclass may replace only the drawing, by `ranges=None` and its own `load`: see `DataSource`.

    >>> shapes = ShapeDataSource(seed=0, class_names=("circle", "star"), image_size=16, sizes=(64, 32, 32))
    >>> images, labels = shapes.examples("train", [0, 1, 2])
    >>> images.shape, images.dtype, labels.tolist()
    ((3, 16, 16, 1), dtype('uint8'), [0, 1, 0])

    Args:
        seed: Seed of the images and of their order, from 0 to 2**32 - 1.
        image_size: Side of the square images in pixels. A subclass that draws nothing may give (height, width).
        channels: 1 (grey) or 3 (RGB). A subclass that draws nothing may have 1 to 4.
        class_names: Names of the labels 0, 1, ...; for drawn shapes, names in `SHAPES`.
        sizes: Number of examples in train, validation and evaluation. A larger split begins with the same examples.
            "held_out" has as many as evaluation, or a fourth number. The `load` of a subclass decides for itself.
        ranges: The ranges of the shapes' factors. None: a subclass draws nothing, and overrides `load`.
        hold_out: The combinations that are held out: see `FactorGrid`.
        label_noise: Fraction of wrong labels, spread evenly over the other classes; or a matrix (classes, classes)
            whose row k has the probabilities of the labels of images that show class k.
        class_shares: (classes,) relative frequencies of the classes, such as (10, 1, 1). The first n images have them
            to within a few images, for any n.
        spurious: A factor that correlates with the class.

    Raises:
        InputError: An argument is invalid, the shapes could not be told apart, or a class has nothing left to train on.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        class_names: Sequence[str] = SHAPES,
        sizes: Sequence[int] = (20_000, 5_000, 10_000),
        ranges: ShapeRanges | None = ShapeRanges(),
        hold_out: HeldOut | None = None,
        label_noise: float | ArrayLike = 0.0,
        class_shares: ArrayLike | None = None,
        spurious: SpuriousCue | None = None,
    ):
        self._ranges = ranges
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=class_names)
        self._style = None
        if ranges is not None:
            height, width, channels = self.image_shape
            if height != width:
                raise InputError(
                    f"image_size must be the side of a square, got {image_size!r}: shapes are drawn on squares; other "
                    "images are those of a subclass with ranges=None"
                )
            if channels not in (1, 3):
                raise InputError(f"channels must be 1 or 3 for drawn shapes, got {channels}")
            check_drawable(self.class_names, height, ranges)
            self._style = Style(self.class_names, height, channels, ranges)
        if hold_out is not None:
            self.splits: tuple[str, ...] = (*SPLITS, HELD_OUT)
        if not isinstance(sizes, (tuple, list)) or len(sizes) not in (len(SPLITS), len(self.splits)):
            raise InputError(f"sizes must be the numbers of examples in {', '.join(self.splits)}, got {sizes!r}")
        self._sizes = {
            split: whole_number(f"size of {split}", size, 1, 2**32 - 1)
            for split, size in zip(self.splits, [*sizes, sizes[-1]], strict=False)
        }
        self._design = Design(self._style, hold_out, label_noise, class_shares, spurious)

    def load(self, split: str) -> tuple[ArrayLike, ArrayLike] | Examples:
        """Returns the drawn examples of a split."""
        if self._style is None or self._ranges is None:
            raise InputError("ranges must be given to draw shapes, got None: override load without calling this one")
        conditions = self._design.conditions(split)
        if self._ranges != self._style.ranges:  # see `fixed`
            conditions = (conditions or Conditions())._replace(ranges=limits_of(self._ranges))
        return _DrawnExamples(self.seed, split, self._sizes[split], self._style, conditions)

    def fixed(self, factor: str, level: float, n: int | None = None) -> "ShapeDataSource":
        """Returns the same source with one factor of all images set to one level.

        Args:
            factor: A range of `ShapeRanges`, such as "contrast".
            level: The level, in the factor's units. It may lie outside of the source's range.
            n: Number of examples in evaluation. None: as in this source.

        Raises:
            InputError: The factor is unknown, the level is out of its bounds, or `hold_out` divides the factor.
        """
        if factor not in RANGED or self._ranges is None:
            raise InputError(f"unknown factor {factor!r}: choose from {', '.join(RANGED)}, of a source of drawn shapes")
        if factor in self._design.divided:
            raise InputError(f"{factor} must not be a factor of hold_out: take a source without hold_out")
        ranges = dataclasses.replace(self._ranges, **{factor: (level, level)})
        check_drawable(self.class_names, self.image_shape[0], ranges)
        other = copy.copy(self)
        other._ranges, other._loaded = ranges, {}
        other._sizes = self._sizes | ({"evaluation": whole_number("n", n, 1, 2**32 - 1)} if n is not None else {})
        return other

    def mislabelled(self, split: str) -> NDArray[np.bool_]:
        """Returns (n,) bool, which examples of a split have a wrong label because of `label_noise`.

        Raises:
            InputError: The subclass has its own examples, for which this is not known.
        """
        examples, size = self._examples(split), self.size(split)
        if not self._design.mislabels:
            return np.zeros(size, bool)
        if not isinstance(examples, _DrawnExamples):
            raise InputError(f"{self._place(split)} must be drawn by ShapeDataSource, which knows the wrong labels")
        labels, factors = examples.labels_and_factors(np.arange(size))
        return labels != factors.label

    def settings(self) -> dict[str, Any]:
        """The settings of a source, with the ranges of the factors, what is held out, and the faults."""
        ranges = {"ranges": dataclasses.asdict(self._ranges)} if self._ranges else {}
        return super().settings() | ranges | self._design.settings()

    def _abstract_loads(self):
        return [*super()._abstract_loads(), *([] if self._ranges else [ShapeDataSource.load])]


def factor_table(source: DataSource, split: str = "evaluation") -> dict[str, np.ndarray] | None:
    """Returns the factors of a split's images, for `find_slices`; None if the source does not know them.

    Lengths are fractions of the image's side, angles are in degrees. A factor that a shape does not have is nan: the
    rotation of a circle, the aspect of shapes other than rectangles and ellipses, the stroke of filled shapes.

    >>> table = factor_table(source)
    >>> table["class"].shape, table["contrast"].dtype
    ((32,), dtype('float32'))

    Args:
        source: The data source, such as a `ShapeDataSource`.
        split: A split of the source.

    Returns:
        Arrays (n,) by the name of the factor, of floats or strings; or None.
    """
    factors = source.factors(split, range(source.size(split)))
    if factors is None:
        return None
    side = source.image_shape[0]
    light = factors.foreground.mean(axis=1) > factors.background.mean(axis=1)
    return {
        "class": np.array(source.class_names)[factors.label],
        "size": factors.size / side,
        "distance from the centre": np.linalg.norm(factors.center - side / 2, axis=1) / side,
        "rotation": np.where(factors.rotation > 0, np.degrees(factors.rotation), np.nan),
        "aspect": np.where(factors.aspect > 1, factors.aspect, np.nan),
        "proportion": np.where(factors.proportion < 1, factors.proportion, np.nan),
        "fill": np.where(factors.filled, "filled", "outlined"),
        "stroke": np.where(factors.filled, np.nan, factors.stroke / side),
        "polarity": np.where(light, "light on dark", "dark on light"),
        "contrast": factors.contrast,
        "gradient": np.linalg.norm(factors.gradient, axis=1),
        "noise": factors.noise,
        "blur": factors.blur / side,
    }


class _DrawnExamples:
    """`Examples` that are drawn when they are used.

    Every call of `draw_compiled` draws a block of one size, of which the rest is dropped. So one compiled program
    serves all batch sizes, and the bits of an image do not depend on its batch.
    """

    BLOCK = 64
    DESCRIBED = 256
    """The block size for labels and factors; in larger blocks XLA's vectorisation changes the last bits."""

    @settings()
    def __init__(self, seed: int, split: str, size: int, style: Style, conditions: Conditions | None):
        self._size, self._style, self._conditions = size, style._asdict(), jax.device_put(conditions)
        self._key = jax.random.fold_in(random_key(seed), (*SPLITS, HELD_OUT).index(split))

    def __len__(self) -> int:
        return self._size

    @settings()
    def __getitem__(self, indices: np.ndarray) -> Batch:
        drawn = self._blocks(draw_compiled, self.BLOCK, indices)
        images, labels = _joined((n, each[:2]) for n, each in drawn)
        return images, labels

    @settings()
    def labels_and_factors(self, indices: np.ndarray) -> tuple[np.ndarray, Factors[np.ndarray]]:
        """The labels and factors for `indices` (b,), without drawing."""
        described = self._blocks(describe_compiled, self.DESCRIBED, indices)
        labels, *factors = _joined((n, (labels, *factors)) for n, (labels, factors) in described)
        return labels, Factors(*factors)

    def factors(self, indices: np.ndarray) -> Factors[np.ndarray]:
        return self.labels_and_factors(indices)[1]

    def on_device(self) -> DeviceExamples:
        """Returns how the program that uses the images draws them itself."""
        data = self._key if self._conditions is None else (self._key, self._conditions)
        return DeviceExamples(_drawing(**self._style), data)

    def _blocks(self, function, size, indices):
        """[(number of indices, result of a block that begins with them)]; results may still be computing."""
        results = []
        for start in range(0, max(len(indices), 1), size):
            used = indices[start : start + size]
            block = np.zeros(size, np.uint32)
            block[: len(used)] = used
            results.append((len(used), function(self._key, block, self._conditions, **self._style)))
        return results


def _joined(blocks):
    """Concatenates the valid rows of blocks, which are given as (number of valid rows, arrays)."""
    rows = [[np.asarray(array)[:n] for array in arrays] for n, arrays in blocks]
    return [np.concatenate(each) for each in zip(*rows, strict=True)]


@lru_cache  # the same function for the same shapes: see `DeviceExamples`
def _drawing(**style):
    def fetch(data, indices):
        key, conditions = data if isinstance(data, tuple) else (data, None)
        return draw(key, indices, conditions, **style)[:2]

    return fetch
