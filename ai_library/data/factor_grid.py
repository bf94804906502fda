"""Held-out combinations of class and factors: the grid, and the standard designs."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, whole_number
from ..files.text import listed
from .conditions import Cells
from .shape_factors import DRAWN, MIN_SIZE_PIXELS, OWNERS, RANGED, ShapeRanges

TWO_VALUES = ("filled", "polarity")
DIVISIBLE = (*RANGED, *TWO_VALUES, "x", "y")
OF_OUTLINES = ("stroke", "outset")
_LEAST_CELLS, _MOST_CELLS = 128, 4096

Cell = int | str | Iterable[int] | Iterable[str]
"""One or several cells, by number from 0 (the lowest), or classes, by name."""


@dataclass(frozen=True, init=False)
class FactorGrid:
    """Divides factors of the shapes into cells of equal width, numbered from 0 for the lowest values.

    The factors are the ranges of `ShapeRanges` and four others: "filled" (cell 0: outlined, 1: filled), "polarity"
    (0: dark on light, 1: light on dark), and "x" and "y", the position within the space that the shape leaves. The
    range of a rotation is the shape's symmetry angle.

    Its methods are the standard designs of what to hold out.

    >>> grid = FactorGrid(size=3, contrast=3, filled=2)
    >>> held_out = grid.row("size", classes=["star"])  # no large stars in training
    >>> held_out.table(["circle", "star"]).shape
    (2, 3, 3, 2)

    Args:
        parts: Number of cells of each factor, from 2 to 64; 2 for "filled" and "polarity".

    Raises:
        InputError: A factor is unknown or cannot have so many cells, or the grid has more than 4,096 cells.
    """

    parts: dict[str, int]

    def __init__(self, **parts: int):
        for factor, n in parts.items():
            if factor not in DIVISIBLE:
                raise InputError(f"unknown factor {factor!r}: choose from {', '.join(DIVISIBLE)}")
            parts[factor] = whole_number(f"the number of cells of {factor}", n, 2, 2 if factor in TWO_VALUES else 64)
        cells = math.prod(parts.values())
        if not parts or cells > _MOST_CELLS:
            raise InputError(f"a grid must have 1 factor or more and at most {_MOST_CELLS:,} cells, got {cells:,}")
        object.__setattr__(self, "parts", parts)

    def cells(self, *combinations: Mapping[str, Cell]) -> "HeldOut":
        """Holds out single combinations, such as `{"class": "star", "size": 2, "contrast": [0, 1]}`.

        Several cells or classes mean any of them. A factor that is not named may have any value.
        """
        return HeldOut(self, tuple(dict(each) for each in combinations))

    def row(self, factor: str, cell: int = -1, classes: Iterable[str] = ()) -> "HeldOut":
        """Holds out one cell of a factor, by default the last, to test extrapolation.

        Args:
            factor: A factor of the grid.
            cell: Number of the cell; -1 is the last.
            classes: The classes for which it is held out. Empty: all classes.
        """
        parts = self._parts_of(factor)
        cell = whole_number(f"the cell of {factor}", cell, -parts, parts - 1) % parts
        return self.cells({factor: cell} | ({"class": tuple(classes)} if classes else {}))

    def inner(self, classes: Iterable[str] = ()) -> "HeldOut":
        """Holds out the cells at neither end of any range, to test interpolation.

        Every range of the grid needs three or more cells. "filled" and "polarity", which have no inner cell, and
        rotations, which have no ends, are held out at all their cells.

        Args:
            classes: The classes for which they are held out. Empty: all classes.
        """
        ranged = {factor: n for factor, n in self.parts.items() if factor not in ("rotation", *TWO_VALUES)}
        if not ranged or min(ranged.values()) < 3:
            raise InputError(
                f"inner cells need 3 cells or more of each range, and one range at least, got {self.parts}: divide "
                "them further"
            )
        inner: dict[str, Cell] = {factor: range(1, n - 1) for factor, n in ranged.items()}
        return self.cells(inner | ({"class": tuple(classes)} if classes else {}))

    def ladder(self, known: int, classes: Iterable[str], rare: int = 1) -> "HeldOut":
        """Holds out the combinations of more than `known` rare values.

        So training shows every combination of values of any `known` factors, but never more than `known` rare values
        together. The class counts as a factor.

        It is the orthotopic evaluation of Camposampiero et al. (Scalable Evaluation and Neural Models for Compositional
        Generalization, NeurIPS 2025) with the similarity index c = `known`. A ladder with a lower `known` holds out all
        that one with a higher `known` does, so that the "held_out" split of the highest can compare all.

        Args:
            known: From 1 to the number of factors of the grid.
            classes: The rare classes.
            rare: Number of rare cells at the end of each factor; 1 for "filled" and "polarity".
        """
        known, classes = whole_number("known", known, 1, len(self.parts)), tuple(classes)
        rare = whole_number("rare", rare, 1, max(self.parts.values()) - 1)
        if not classes:
            raise InputError("a ladder needs a rare class or more, got none: name some of the source's classes")
        values: dict[str, Cell] = {"class": classes}
        for factor, n in self.parts.items():
            if factor not in TWO_VALUES and rare >= n:
                raise InputError(f"rare must leave a cell of {factor}, which has {n}, got {rare}")
            values[factor] = range(n - (1 if factor in TWO_VALUES else rare), n)
        chosen = itertools.combinations(values, known + 1)
        return self.cells(*[{factor: values[factor] for factor in factors} for factors in chosen])

    def _parts_of(self, factor):
        if factor not in self.parts:
            raise InputError(f"the grid has no factor {factor!r}: it has {', '.join(self.parts)}")
        return self.parts[factor]


@dataclass(frozen=True)
class HeldOut:
    """The combinations of class and cells that are kept out of train, validation and evaluation.

    The methods of `FactorGrid` make it, and `ShapeDataSource(hold_out=...)` takes it.

    A combination that names a factor never holds out shapes without that factor, such as circles for a rotation.

    >>> held_out = FactorGrid(size=3).cells({"class": "star", "size": 2})
    >>> shapes = ShapeDataSource(class_names=("circle", "star"), hold_out=held_out)
    >>> shapes.splits
    ('train', 'validation', 'evaluation', 'held_out')

    Args:
        grid: The grid.
        combinations: The combinations that are held out, as `FactorGrid.cells` takes them.

    Raises:
        InputError: There is none, or one names a factor or a cell that the grid does not have.
    """

    grid: FactorGrid
    combinations: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        if not self.combinations:
            raise InputError('hold_out must name a combination or more, such as {"class": "star", "size": 2}, got none')
        object.__setattr__(self, "combinations", tuple(map(self._checked, self.combinations)))

    def settings(self) -> dict[str, Any]:
        """The design as JSON values."""
        return {"grid": dict(self.grid.parts), "combinations": [dict(each) for each in self.combinations]}

    def table(self, class_names: Sequence[str]) -> NDArray[np.bool_]:
        """Returns a bool array (classes, cells of the first factor, cells of the second, ...): True is held out.

        Raises:
            InputError: A held-out class is not among `class_names`.
        """
        shape = (len(class_names), *self.grid.parts.values())
        held, axes = np.zeros(shape, bool), ("class", *self.grid.parts)
        place = dict(zip(axes, np.indices(shape, sparse=True), strict=True))
        for combination in self.combinations:
            named = combination.get("class", [])
            unknown = [name for name in named if name not in class_names]
            if unknown:
                raise InputError(f"hold_out names the class {unknown[0]!r}: choose from {', '.join(class_names)}")
            inside = np.ones(shape, bool)
            for factor, cells in combination.items():
                wanted = [class_names.index(name) for name in cells] if factor == "class" else cells
                inside &= np.isin(place[factor], wanted) & _have(factor, class_names, place)
            held |= inside
        return held

    def _checked(self, combination):
        checked = {}
        for factor, cells in combination.items():
            cells = [cells] if isinstance(cells, str) or not isinstance(cells, Iterable) else list(cells)
            if factor != "class":
                parts = self.grid._parts_of(factor)
                cells = [whole_number(f"the cell of {factor}", cell, 0, parts - 1) for cell in cells]
            if not cells:
                raise InputError(f"a combination must name a cell or more of {factor}, got none")
            checked[factor] = cells
        if not checked:
            raise InputError("a combination must name a class or a cell, got {}, which is everything")
        return checked


def cells_to_draw(
    held_out: HeldOut, class_names: Sequence[str], image_size: int, channels: int, ranges: ShapeRanges, held: bool
) -> tuple[Cells, NDArray[np.bool_]]:
    """Returns the cells with their probabilities, and (classes,) bool, which classes have such cells.

    The probabilities are conditional on the cells being held out if `held`, and on their not being so otherwise.

    Raises:
        InputError: The shapes' ranges cannot be divided so, a class has nothing left to train on, or nothing is held
            out.
    """
    factors, wanted = held_out.grid.parts, held_out.table(class_names) == held
    for factor in OF_OUTLINES:
        if factor in factors and "filled" not in factors and ranges.outlined < 1:
            raise InputError(f'{factor} is that of outlines, and there are filled shapes: divide "filled", too')
    edges = [unit_edges(factor, n, image_size, channels, ranges) for factor, n in factors.items()]
    volume = math.prod(np.ix_(*[np.diff(each.astype(np.float64)) for each in edges]))
    cumulative = np.where(wanted, volume, 0).reshape(len(class_names), -1).cumsum(axis=1)
    total = cumulative[:, -1]
    if not held and (total == 0).any():
        gone = [name for name, left in zip(class_names, total, strict=True) if left == 0]
        raise InputError(f"hold_out leaves no combination to train on of {listed(gone)}: hold out less of these")
    if not total.any():
        raise InputError("hold_out holds nothing out: the source draws no such combination")
    # A cell of probability 0 is an empty interval, into which no random number falls.
    cumulative = cumulative / np.where(total > 0, total, 1)[:, np.newaxis]
    numbers = np.indices(tuple(factors.values())).reshape(len(factors), -1)
    bounds = np.tile(np.array([0, 1], np.float32), (numbers.shape[1], len(DRAWN), 1))
    for factor, ends, number in zip(factors, edges, numbers, strict=True):
        bounds[:, DRAWN.index(factor)] = np.stack([ends[number], ends[number + 1]], axis=1)
    # Padded with empty cells to few sizes, so that few programs are compiled.
    more = max(_LEAST_CELLS, 1 << (len(bounds) - 1).bit_length()) - len(bounds)
    cumulative = np.pad(cumulative, ((0, 0), (0, more)), mode="edge").astype(np.float32)
    return Cells(cumulative, np.pad(bounds, ((0, more), (0, 0), (0, 0)))), total > 0


def unit_edges(factor: str, parts: int, image_size: int, channels: int, ranges: ShapeRanges) -> NDArray[np.float32]:
    """Returns (parts + 1,) the edges of a factor's cells in the unit interval from which it is drawn.

    Raises:
        InputError: The factor has a single value or no visible effect, or its limits in pixels cut off cells.
    """
    if factor == "filled":
        return np.array([0, ranges.outlined, 1], np.float32)
    edges = np.linspace(0, 1, parts + 1)
    if factor in RANGED:
        low, high = getattr(ranges, factor)
        if low == high or (factor == "tint" and channels == 1):
            why = f"its range is ({low:g}, {high:g})" if low == high else "grey images show none"
            raise InputError(f"{factor} cannot be divided into cells, as {why}: leave it out, or change the source")
        stroke = max(ranges.stroke[1], 1 / image_size) if ranges.outlined else 0
        limits = {
            "size": (MIN_SIZE_PIXELS / image_size, 0.5 - ranges.outset[1] * stroke),
            "stroke": (1 / image_size, 1.0),
        }
        least, most = limits.get(factor, (-np.inf, np.inf))
        first, last = low + (high - low) * edges[1], low + (high - low) * edges[-2]
        if first < least or last > most:
            raise InputError(
                f"{factor} must have cells that end above {least:.3g} and begin below {most:.3g} of the image's side, "
                f"as it is limited to these, got cells that end at {first:.3g} and begin at {last:.3g}: take fewer "
                "cells, a narrower range or larger images"
            )
    return edges.astype(np.float32)


def _have(factor, class_names, place):
    """Which classes have a factor, and for factors of outlines which cells; broadcasts to the grid."""
    if factor in OWNERS:
        return np.isin(class_names, OWNERS[factor])[place["class"]]
    if factor in OF_OUTLINES and "filled" in place:
        return place["filled"] == 0
    return True
