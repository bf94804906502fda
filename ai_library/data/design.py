"""The design of an experiment with shapes: what is held out, and the faults of the training data."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .conditions import Conditions
from .factor_grid import HeldOut, cells_to_draw
from .faults import SpuriousCue, confusion, cue_to_draw, noise_to_draw, normalised_shares, turns_to_draw
from .shape_factors import ShapeRanges

HELD_OUT = "held_out"
"""The split that has only the combinations that `hold_out` keeps out of the others."""
_FAULTY = ("train", "validation")


class Style(NamedTuple):
    """The static arguments of `draw`, which are compiled in."""

    class_names: tuple[str, ...]
    image_size: int
    channels: int
    ranges: ShapeRanges


class Design:
    """Checks the arguments of `ShapeDataSource` that change what it draws; they are documented there.

    Args:
        style: How the shapes are drawn. None: the source draws nothing, and the other arguments must be left out.
        hold_out: See `ShapeDataSource`, also for the following.
        label_noise: Wrong labels.
        class_shares: Class frequencies.
        spurious: A spurious cue.

    Raises:
        InputError: An argument is impossible with the shapes or with another argument.
    """

    def __init__(
        self,
        style: Style | None,
        hold_out: HeldOut | None,
        label_noise: float | ArrayLike,
        class_shares: ArrayLike | None,
        spurious: SpuriousCue | None,
    ):
        self._conditions: dict[str, Conditions] = {}
        self._settings: dict[str, Any] = {}
        given = {"hold_out": hold_out, "class_shares": class_shares, "spurious": spurious}
        given |= {"label_noise": label_noise if np.ndim(label_noise) or label_noise else None}
        asked = [name for name, value in given.items() if value is not None]
        if style is None and asked:
            raise InputError(f"{asked[0]} must be left out where ranges is None: only drawn shapes have it")
        if style is not None:
            self._hold_out(style, hold_out)
            self._fault(style, label_noise, class_shares, spurious)

    @property
    def mislabels(self) -> bool:
        """Whether some labels are wrong."""
        return "label_noise" in self._settings

    @property
    def divided(self) -> tuple[str, ...]:
        """The factors of the grid of what is held out."""
        return tuple(self._settings.get("hold_out", {"grid": ()})["grid"])

    def conditions(self, split: str) -> Conditions | None:
        """The conditions under which a split is drawn; None if there are none."""
        return self._conditions.get(split)

    def settings(self) -> dict[str, Any]:
        """The design as JSON values, without arguments that have their default."""
        return self._settings

    def _hold_out(self, style, hold_out):
        if hold_out is None:
            return
        left, _ = cells_to_draw(hold_out, *style, held=False)
        cells, shown = cells_to_draw(hold_out, *style, held=True)
        turns = None if shown.all() else turns_to_draw(shown / shown.sum())
        self._conditions |= {split: Conditions(cells=left) for split in (*_FAULTY, "evaluation")}
        self._conditions[HELD_OUT] = Conditions(cells=cells, turns=turns)
        self._settings["hold_out"] = hold_out.settings()

    def _fault(self, style, label_noise, class_shares, spurious):
        faults, num_classes = {}, len(style.class_names)
        matrix = confusion(label_noise, num_classes)
        if matrix is not None:
            faults["noise"] = noise_to_draw(matrix)
            self._settings["label_noise"] = matrix.tolist()
        if class_shares is not None:
            shares = normalised_shares(class_shares, num_classes)
            faults["turns"] = turns_to_draw(shares)
            self._settings["class_shares"] = shares.tolist()
        if spurious is not None:
            if spurious.factor in self.divided:
                raise InputError(
                    f"the cue {spurious.factor} must not be a factor of hold_out, too: choose another factor for one"
                )
            faults["cue"] = cue_to_draw(spurious, *style)
            self._settings["spurious"] = {
                "factor": spurious.factor, "share": float(spurious.share), "cells": spurious.cells
            }  # fmt: skip
        if faults:
            for split in _FAULTY:
                self._conditions[split] = self._conditions.get(split, Conditions())._replace(**faults)
