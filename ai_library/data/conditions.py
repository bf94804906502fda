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
"""2**32 over the golden ratio: its multiples, modulo 2**32, cover all numbers evenly from the first on (Knuth, The Art
of Computer Programming 3, 6.4)."""


class Cells(NamedTuple):
    """A division of factors into cells, of which an item falls into one, by the probabilities of its class."""

    cumulative: Array
    """(classes, cells) float32, the probabilities of the cells up to each; 1 at the end."""
    bounds: Array
    """(cells, factors, 2) float32: low and high, in the unit interval that a factor is drawn from."""
    places: Array
    """(factors,) int32, where the factors stand among those that are drawn."""


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

    turns: Array | None = None
    """(t,) int32, the classes that take turns."""
    shares: Array | None = None
    """(classes - 1,) uint32, where in 2**32 the share of each class but the last ends."""
    cells: Cells | None = None
    cue: Cue | None = None
    noise: Array | None = None
    """(classes, classes) float32, the probabilities of the labels up to each, by the class that is shown."""
    ranges: Array | None = None
    """(2, ranges) float32, the low and high ends of the ranges, in place of those that are compiled in."""


def shown_class(index: jax.Array, num_classes: int, conditions: Conditions) -> jax.Array:
    """() int32, the class that item `index` () uint32 shows."""
    if conditions.shares is not None:
        return (index * _GOLDEN >= jnp.asarray(conditions.shares)).sum(dtype=jnp.int32)
    if conditions.turns is not None:
        return jnp.asarray(conditions.turns)[index % len(conditions.turns)]
    return (index % num_classes).astype(jnp.int32)


def steered(even: jax.Array, label: jax.Array, chances: jax.Array, conditions: Conditions) -> jax.Array:
    """The even random numbers (f,) in [0, 1) that factors are made of, moved into the cells that a class has here."""
    if conditions.cells is not None:
        cumulative, bounds, places = map(jnp.asarray, conditions.cells)
        cell = jnp.searchsorted(cumulative[label], chances[0], side="right")
        even = even.at[places].set(_within(bounds[cell], even[places]))
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
