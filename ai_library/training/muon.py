"""Muon for the kernels of convolutions, as few and small matrix products."""

from collections import defaultdict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ..errors import whole_number

_COEFFICIENTS = 3.4445, -4.775, 2.0315
"""Of the polynomial that Newton and Schulz's iteration applies to the singular values; K. Jordan's, as in optax."""
_MOST_STEPS = 5
"""Each step makes rounding errors of the squares up to 12 times as large. After five they are 0.1 % of the result."""
_SMALLEST_SIDE = 64
"""Smaller squares are padded to this side, so that one batched product serves most kernels of a network."""


def muon(
    learning_rate: optax.ScalarOrSchedule, beta: float = 0.95, ns_steps: int = 5
) -> optax.GradientTransformationExtraArgs:
    """Muon for the kernels of convolutions and Nadam for all other weights, with one learning rate for both.

    Muon's step is nearly the orthogonal matrix that is closest to the momentum (K. Jordan,
    https://kellerjordan.github.io/posts/muon). It is multiplied by the square root of the matrix's longer side, so that
    its elements are about as large as Adam's steps (arXiv:2502.16982). A kernel (h, w, in, out) is the matrix
    (h * w * in, out). Dense layers are left to Nadam: for a large first one Muon takes much time and brings nothing
    (`benchmarks/notes.md`).

    The result is that of `optax.contrib.muon` within rounding, in a fraction of its time on a CPU and of its time to
    compile: the polynomial is evaluated for the small square matrices, for kernels of similar size together.

    Args:
        learning_rate: A number, or a function of the step.
        beta: Decay of the momentum, which is Nesterov's.
        ns_steps: Steps of the iteration, from 1 to 5. With more of them, smaller singular values come near 1.

    Raises:
        InputError: `ns_steps` is out of its range.
    """
    steps = whole_number("ns_steps of muon", ns_steps, 1, _MOST_STEPS)
    of_kernels = optax.chain(_orthogonal_momentum(beta, steps), optax.scale_by_learning_rate(learning_rate))
    others = optax.flatten(optax.nadam(learning_rate))  # one vector is compiled faster than many
    return optax.partition({"kernels": of_kernels, "others": others}, _labels)


def _labels(params):
    return jax.tree.map(lambda weight: "kernels" if weight.ndim == 4 else "others", params)


class _Momentum(NamedTuple):
    momentum: optax.Updates


def _orthogonal_momentum(beta, steps):
    def init(params):
        return _Momentum(jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        del params
        momentum = jax.tree.map(lambda old, new: beta * old + new, state.momentum, updates)
        ahead = jax.tree.map(lambda old, new: beta * old + new, momentum, updates)
        kernels, tree = jax.tree.flatten(ahead)
        matrices = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels]
        steps_of = [
            step.reshape(kernel.shape) * max(step.shape) ** 0.5
            for step, kernel in zip(orthogonalised(matrices, steps), kernels, strict=True)
        ]
        return jax.tree.unflatten(tree, steps_of), _Momentum(momentum)

    return optax.GradientTransformation(init, update)


def orthogonalised(matrices: list[jax.Array], steps: int) -> list[jax.Array]:
    """Matrices (m, n) float32 with nearly the same singular vectors and with singular values near 1.

    Newton and Schulz's iteration is X <- X p(A) with A = X'X for tall matrices, and p(A) X with A = XX' for wide ones.
    Its factors are polynomials of the first A. So they are multiplied with each other, as squares with the shorter
    side, and X is only used at the beginning and at the end. A matrix of zeros stays one.
    """
    groups = defaultdict(list)
    for index, matrix in enumerate(matrices):
        groups[max(_SMALLEST_SIDE, min(matrix.shape))].append(index)
    done = dict[int, jax.Array]()
    for side, indices in groups.items():
        factors = _factors(jnp.stack([_square(matrices[index], side) for index in indices]), steps)
        for factor, index in zip(factors, indices, strict=True):
            matrix = matrices[index]
            factor = factor[: min(matrix.shape), : min(matrix.shape)]
            done[index] = _product(matrix, factor) if _tall(matrix) else _product(factor, matrix)
    return [done[index] for index in range(len(matrices))]


def _factors(squares, steps):
    """The products of the iteration's factors for squares (k, side, side), the norm's inverse included."""
    norms = jnp.maximum(jnp.trace(squares, axis1=1, axis2=2), 1e-30)[:, None, None]  # Frobenius', squared
    constant, linear, quadratic = _COEFFICIENTS
    a, product = squares / norms, jax.lax.rsqrt(norms) * jnp.eye(squares.shape[-1], dtype=squares.dtype)
    for step in range(steps):
        factor = linear * a + quadratic * _product(a, a) + constant * jnp.eye(a.shape[-1], dtype=a.dtype)
        product = _product(product, factor)
        if step < steps - 1:
            a = _product(_product(factor, a), factor)
    return product


def _square(matrix, side):
    square = _product(matrix.T, matrix) if _tall(matrix) else _product(matrix, matrix.T)
    padding = side - len(square)
    return jnp.pad(square, ((0, padding), (0, padding)))


def _tall(matrix):
    return matrix.shape[0] >= matrix.shape[1]


def _product(one, other):
    return jnp.matmul(one, other, precision="highest")  # also where a GPU would round to fewer bits
