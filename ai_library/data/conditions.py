"""What steers the drawing of shapes away from the usual: which class, cells and label an item gets.

`Conditions` are arrays, so that one compiled program serves all that have the same of them. The functions are for one
item, to be traced by JAX. What they draw by chance comes from random numbers of the item's own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray

CHANCES = 3
"""The random numbers that an item needs: for its cells, its cue and its label."""
_GOLDEN = np.uint32(2654435769)
"""2**32 over the golden ratio: its first multiples, modulo 2**32, lie evenly, however many they are (Knuth, The Art of
Computer Programming 3, 6.4)."""


class Turns(NamedTuple):
    """Classes that come in a certain proportion; of each array the last entry is repeated for classes that do not."""

    classes: Array
    """(classes,) int32"""
    ends: Array
    """(classes - 1,) uint32, where in 2**32 the share of each of these but the last ends."""


class Cells(NamedTuple):
    """A division of factors into cells, of which an item falls into one, by the probabilities of its class."""

    cumulative: Array
    """(classes, cells) float32, the probabilities of the cells up to each; 1 at the end."""
    bounds: Array
    """(cells, factors, 2) float32 of all factors that are drawn: low and high, in the unit interval they are drawn
    from."""


class Cue(NamedTuple):
    """A factor that in a share of the items goes with the class."""

    share: Array
    """() float32"""
    bounds: Array
    """(classes, 2) float32: low and high, in the unit interval that the factor is drawn from."""
    place: Array
    """() int32, where the factor stands among those that are drawn."""


class Conditions(NamedTuple):
    """What differs from the usual; None for what does not."""

    turns: Turns | None = None
    cells: Cells | None = None
    cue: Cue | None = None
    noise: Array | None = None
    """(classes, classes) float32, the probabilities of the labels up to each, by the class that is shown."""
    ranges: Array | None = None
    """(2, ranges) float32, the low and high ends of the ranges, in place of those that are compiled in."""


def shown_class(index: jax.Array, num_classes: int, conditions: Conditions) -> jax.Array:
    """() int32, the class that item `index` () uint32 shows."""
    if conditions.turns is None:
        return (index % num_classes).astype(jnp.int32)
    classes, ends = map(jnp.asarray, conditions.turns)
    return classes[(index * _GOLDEN >= ends).sum()]


def steered(even: jax.Array, label: jax.Array, chances: jax.Array, conditions: Conditions) -> jax.Array:
    """The even random numbers (f,) in [0, 1) that factors are made of, moved into the cells that a class has here."""
    if conditions.cells is not None:
        cumulative, bounds = map(jnp.asarray, conditions.cells)
        cell, n = jnp.searchsorted(cumulative[label], chances[0], side="right"), bounds.shape[1]
        even = jnp.concatenate([_within(bounds[cell], even[:n]), even[n:]])
    if conditions.cue is not None:
        share, bounds, place = map(jnp.asarray, conditions.cue)
        even = even.at[place].set(jnp.where(chances[1] < share, _within(bounds[label], even[place]), even[place]))
    return even


def _within(bounds, even):
    """Random numbers in [0, 1) as such in [low, high), where rounding would reach `high` at times."""
    low, high = bounds[..., 0], bounds[..., 1]
    return jnp.clip(low + (high - low) * even, low, jnp.nextafter(high, low))


def given_label(label: jax.Array, chances: jax.Array, conditions: Conditions) -> jax.Array:
    """() int32, the label of an item that shows the class `label`."""
    if conditions.noise is None:
        return label
    return (chances[2] >= jnp.asarray(conditions.noise)[label]).sum(dtype=jnp.int32)
