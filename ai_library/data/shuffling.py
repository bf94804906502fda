"""The order of an epoch, any part of which can be had without the rest: it takes no memory and no time in advance."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 12
"""Even. Three make a large Feistel network random (Luby & Rackoff, SIAM J. Computing 17(2), 1988). With 8 the orders of
6 to 25 items are measurably uneven, because their rows and columns are so short; with 12 they no longer are."""


def shuffled(positions: ArrayLike, size: int, entropy: Sequence[int]) -> NDArray[np.int64]:
    """The items (b,) int64 that a random order of `range(size)` has at the `positions` (b,), each from 0 to size - 1.

    Each is a pure function of its position, the size and `entropy`, non-negative whole numbers such as (seed, epoch);
    all positions together give every item once.

    It is the generalised Feistel cipher of Black & Rogaway (Ciphers with Arbitrary Finite Domains, CT-RSA 2002): a
    position is a cell of a grid that holds `size` cells or a few more. Each round moves all cells of a row along it,
    or all of a column, by a distance that is hashed from the number of the row or column. A cell beyond the last item
    goes through the rounds again, until it comes to one within.
    """
    columns = math.isqrt(max(size - 1, 0)) + 1
    rows = max(-(-size // columns), 1)
    keys = np.random.SeedSequence(entropy).generate_state(ROUNDS, np.uint64)

    def move(cells):
        row, column = np.divmod(cells, np.uint64(columns))
        for across, down in keys.reshape(-1, 2):
            column = (column + _hash(row ^ across)) % np.uint64(columns)
            row = (row + _hash(column ^ down)) % np.uint64(rows)
        return row * np.uint64(columns) + column

    items = move(np.array(positions, np.uint64))
    while (beyond := items >= size).any():
        items[beyond] = move(items[beyond])
    return items.astype(np.int64)


def _hash(word):
    """Numbers below 2**32 of uint64 words: two rounds of multiplication, each of which leaves its best bits on top."""
    word = word * np.uint64(0xBF58476D1CE4E5B9)
    return ((word ^ (word >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)) >> np.uint64(32)
