"""Generated images of shapes as a data source, which needs no files and has no end."""

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, whole_number
from ..runtime.jax_settings import random_key, settings
from .examples import Batch, DeviceExamples, Examples
from .rendering import SHAPES, Factors, ShapeRanges, check_drawable, draw, draw_compiled
from .source import SPLITS, DataSource, sides


class ShapeDataSource(DataSource):
    """Generated images of shapes, labelled by the shape they show.

    Example `i` of a split is a pure function of (seed, split, i), and the order of an epoch one of (seed, epoch): runs
    repeat, and nothing is stored. Splits never share an example. The classes take turns, so that every split is
    balanced.

    A subclass may keep all of this but the drawing: with `ranges=None` and a `load` of its own, see `DataSource`.

    Args:
        seed: Seed of the images and of their order, from 0 to 2**32 - 1.
        image_size: Side of the square images in pixels. A subclass that draws nothing may give (height, width).
        channels: 1 (grey) or 3 (colour). A subclass that draws nothing may have 1 to 4.
        class_names: What the labels 0, 1, ... mean; for shapes, names out of `SHAPES`.
        sizes: Number of examples in train, validation and evaluation. A larger split begins with the same examples.
        ranges: What the factors of the shapes are drawn from. None says that a subclass draws nothing, and overrides
            `load`.

    Raises:
        InputError: An argument is not of this kind, or with these the shapes could not be told apart.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        image_size: int | Sequence[int] = 64,
        channels: int = 1,
        class_names: Sequence[str] = SHAPES,
        sizes: Sequence[int] = (20_000, 2_000, 10_000),
        ranges: ShapeRanges | None = ShapeRanges(),
    ):
        self._ranges = ranges
        super().__init__(seed=seed, image_shape=(*sides(image_size), channels), class_names=class_names)
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
        if not isinstance(sizes, (tuple, list)) or len(sizes) != len(SPLITS):
            raise InputError(f"sizes must be the numbers of examples in {', '.join(SPLITS)}, got {sizes!r}")
        self._sizes = {
            split: whole_number(f"size of {split}", size, 1, 2**32 - 1)
            for split, size in zip(SPLITS, sizes, strict=True)
        }

    def load(self, split: str) -> tuple[ArrayLike, ArrayLike] | Examples:
        """Returns the drawn examples of a split."""
        return _DrawnExamples(self, split, self._sizes[split], self._ranges)

    def settings(self) -> dict[str, Any]:
        """Besides what every source tells, the ranges that shapes are drawn from."""
        return super().settings() | ({"ranges": dataclasses.asdict(self._ranges)} if self._ranges else {})

    def _abstract_loads(self):
        return [*super()._abstract_loads(), *([] if self._ranges else [ShapeDataSource.load])]


def factor_table(source: DataSource, split: str = "evaluation") -> dict[str, np.ndarray] | None:
    """Returns what the images of a split show, as `find_slices` takes it, or None where the source does not know.

    Lengths are fractions of the image's side, angles are in degrees. A factor that a shape does not have is nan: the
    rotation of a circle, the aspect of all but rectangles and ellipses, the stroke of filled shapes.
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
    """Shapes drawn when they are asked for.

    Every call of `draw_compiled` draws one block of the same size, and what is not needed is dropped: one compiled
    program serves all batch sizes, which keeps an image's bits independent of the batch it comes in.
    """

    BLOCK = 64

    @settings()
    def __init__(self, source: DataSource, split: str, size: int, ranges):
        self._size = size
        self._key = jax.random.fold_in(random_key(source.seed), SPLITS.index(split))
        height, _, channels = source.image_shape
        self._style = {
            "class_names": source.class_names,
            "image_size": height,
            "channels": channels,
            "ranges": ranges,
        }

    def __len__(self) -> int:
        return self._size

    @settings()
    def __getitem__(self, indices: np.ndarray) -> Batch:
        drawn = [(np.asarray(images)[:n], np.asarray(factors.label)[:n]) for n, images, factors in self._draw(indices)]
        images, labels = map(np.concatenate, zip(*drawn, strict=True))
        return images, labels

    @settings()
    def factors(self, indices: np.ndarray) -> Factors[np.ndarray]:
        drawn = [[np.asarray(leaf)[:n] for leaf in factors] for n, _, factors in self._draw(indices)]
        return Factors(*map(np.concatenate, zip(*drawn, strict=True)))

    def on_device(self) -> DeviceExamples:
        """Draws within the program that uses the images."""
        return DeviceExamples(_drawing(**self._style), self._key)

    def _draw(self, indices):
        """[(number of examples, images and factors of a block that begins with them)], which may still be computed."""
        drawn = []
        for start in range(0, max(len(indices), 1), self.BLOCK):
            used = indices[start : start + self.BLOCK]
            block = np.zeros(self.BLOCK, np.uint32)
            block[: len(used)] = used
            drawn.append((len(used), *draw_compiled(self._key, block, **self._style)))
        return drawn


@lru_cache  # the same function for the same shapes: see `DeviceExamples`
def _drawing(**style):
    def fetch(key, indices):
        images, factors = draw(key, indices, **style)
        return images, factors.label

    return fetch
