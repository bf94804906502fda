"""Conditions of drawn shapes that differ from the usual: the class, the cells and the label of an item.

`Conditions` are arrays, so that conditions of the same form share a compiled program. The functions are for one item,
and are traced by JAX. Their random numbers belong to the item.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray

CHANCES = 3
"""Number of random numbers of an item: for its cells, its cue and its label."""
_GOLDEN = np.uint32(2654435769)
"""2**32 / golden ratio: its first n multiples modulo 2**32 are evenly spread for any n (Knuth, The Art of Computer
Programming 3, 6.4)."""


class Turns(NamedTuple):
    """Classes with given frequencies. The last entry of each array is repeated for classes that do not occur."""

    classes: Array
    """(classes,) int32"""
    ends: Array
    """(classes - 1,) uint32, the upper ends of the classes' parts of 2**32, without the last."""


class Cells(NamedTuple):
    """A division of factors into cells. An item falls into one of them, with the probabilities of its class."""

    cumulative: Array
    """(classes, cells) float32, the cumulative probabilities of the cells; the last is 1."""
    bounds: Array
    """(cells, factors, 2) float32, low and high of every drawn factor, in the unit interval from which it is drawn."""


class Cue(NamedTuple):
    """A factor that correlates with the class in a fraction of the items."""

    share: Array
    """() float32"""
    bounds: Array
    """(classes, 2) float32, low and high of the factor, in the unit interval from which it is drawn."""
    place: Array
    """() int32, the index of the factor among those that are drawn."""


class Conditions(NamedTuple):
    """What differs from the usual; None for each part that does not."""

    turns: Turns | None = None
    cells: Cells | None = None
    cue: Cue | None = None
    noise: Array | None = None
    """(classes, classes) float32, the cumulative probabilities of the labels, by the class that is shown."""
    ranges: Array | None = None
    """(2, ranges) float32, the low and high ends of the ranges, in place of the compiled constants."""


def shown_class(index: jax.Array, num_classes: int, conditions: Conditions) -> jax.Array:
    """() int32, the class that item `index` () uint32 shows."""
    if conditions.turns is None:
        return (index % num_classes).astype(jnp.int32)
    classes, ends = map(jnp.asarray, conditions.turns)
    return classes[(index * _GOLDEN >= ends).sum()]


def steered(even: jax.Array, label: jax.Array, chances: jax.Array, conditions: Conditions) -> jax.Array:
    """Maps the uniform random numbers (f,) in [0, 1) of the factors into the cells and the cue of a class."""
    if conditions.cells is not None:
        cumulative, bounds = map(jnp.asarray, conditions.cells)
        cell, n = jnp.searchsorted(cumulative[label], chances[0], side="right"), bounds.shape[1]
        even = jnp.concatenate([_within(bounds[cell], even[:n]), even[n:]])
    if conditions.cue is not None:
        share, bounds, place = map(jnp.asarray, conditions.cue)
        even = even.at[place].set(jnp.where(chances[1] < share, _within(bounds[label], even[place]), even[place]))
    return even


def _within(bounds, even):
    """Maps random numbers in [0, 1) to [low, high), where rounding alone could reach `high`."""
    low, high = bounds[..., 0], bounds[..., 1]
    return jnp.clip(low + (high - low) * even, low, jnp.nextafter(high, low))


def given_label(label: jax.Array, chances: jax.Array, conditions: Conditions) -> jax.Array:
    """() int32, the label of an item that shows the class `label`."""
    if conditions.noise is None:
        return label
    return (chances[2] >= jnp.asarray(conditions.noise)[label]).sum(dtype=jnp.int32)
