"""The compiler that is installed: what it makes of a program gives the same as the program's operations one by one.

jaxlib 0.10.2 computes one row of some lengths wrong on CPUs, without a word (jax#39103), and fails here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _squared_length(row):
    """(3,) float32 -> () float32, by way of a product with the identity, which the compiler fuses with the sum."""
    return jnp.square(jnp.eye(3) @ row).sum()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 16_385, 32_769, 65_537])  # the later ones are one more than a power of two
def test_compiled_row_lengths_are_those_of_the_operations_one_by_one(rows):
    points = np.zeros((rows, 3), np.float32)
    points[:, 0] = np.arange(rows)  # no row is like another, so that none can take another's place unseen
    lengths = jax.vmap(_squared_length)
    with jax.disable_jit():
        one_by_one = np.asarray(lengths(points))
    np.testing.assert_allclose(one_by_one, np.arange(rows, dtype=np.float64) ** 2, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(jax.jit(lengths)(points)), one_by_one, rtol=1e-6)
