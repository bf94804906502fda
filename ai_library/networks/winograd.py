"""3x3 convolutions by Winograd's minimal filtering, which takes a quarter of a usual convolution's multiplications.

It is F(4x4, 3x3) of A. Lavin and S. Gray (arXiv:1509.09308). Tiles of 6x6 input cells, which overlap by two, are
transformed into 36 numbers, and so is the kernel. For each of the 36, a matrix product sums over the channels. The
inverse transform gives a tile of 4x4 output cells. All steps are linear, so the gradient is the same in reverse.

On CPUs, XLA's convolutions reach a third of the peak or more and the gradients of their kernels a tenth to a half, but
its matrix products nearly all of it (`benchmarks/notes.md`). The cost is a rounding error of about 1e-5 of the largest
output, ten times that of the plain sum in float32. The tests compare it with a float64 reference.
"""

import jax
import jax.numpy as jnp
import numpy as np

TILE = 4
"""Output cells of a tile along each side."""

PART_BYTES = 4 * 2**20
"""Bytes of transformed cells per part: about the size of a core's cache."""
_UNROLLED = 4
"""Number of parts up to which the compiled program is unrolled; more become a loop."""

# From the tile's samples at 0, 1, -1, 2, -2 and infinity; in the paper's notation B^T, G and A^T.
_INPUT = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]], np.float32
)  # fmt: skip
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32) / 24
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)


def winograd_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves x (b, h, w, i) with a kernel (3, 3, i, o), stride 1, zero padding, to (b, h, w, o)."""
    transformed = transform_kernel(kernel)
    _, y = jax.lax.scan(lambda _, part: (None, _conv(part, transformed)), None, _parts(x, kernel), unroll=_UNROLLED)
    return y.reshape(-1, *y.shape[2:])


def winograd_conv_gradients(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The gradients with respect to x and the kernel, from the gradient (b, h, w, o) of the output."""
    transformed, kernel_adjoint = jax.vjp(transform_kernel, kernel)

    def add(total, part):
        part_of_x, part_of_gradient = part
        of_x, of_transformed = _gradients(part_of_x, part_of_gradient, transformed)
        return total + of_transformed, of_x

    parts = _parts(x, kernel), _parts(gradient, kernel)
    of_transformed, of_x = jax.lax.scan(add, jnp.zeros_like(transformed), parts, unroll=_UNROLLED)
    return of_x.reshape(x.shape), *kernel_adjoint(of_transformed)


def _parts(x, kernel):
    """Reshapes x (b, h, w, c) to (parts, n, h, w, c): the largest n that divides b and stays within `PART_BYTES`."""
    b, h, w, _ = x.shape
    transformed = -(-h // TILE) * -(-w // TILE) * 36 * sum(kernel.shape[2:]) * x.dtype.itemsize
    images = next(n for n in range(max(1, PART_BYTES // transformed), 0, -1) if b % n == 0)
    return x.reshape(-1, images, *x.shape[1:])


def _conv(x, transformed):
    b, h, w, _ = x.shape
    spectrum = jnp.einsum("kti,kio->kto", _transform_input(_whole_tiles(x)), transformed)
    return _transform_output(spectrum, b, -(-h // TILE), -(-w // TILE))[:, :h, :w]


def _gradients(x, gradient, transformed):
    """The gradients with respect to x and the transformed kernel."""
    b, h, w, _ = x.shape
    rows, columns = -(-h // TILE), -(-w // TILE)
    spectrum = _transform_output_adjoint(_whole_tiles(gradient))
    of_transformed = jnp.einsum("kti,kto->kio", _transform_input(_whole_tiles(x)), spectrum)
    of_x = _transform_input_adjoint(jnp.einsum("kto,kio->kti", spectrum, transformed), b, rows, columns)
    return of_x[:, :h, :w], of_transformed


def transform_kernel(kernel: jax.Array) -> jax.Array:
    """(3, 3, i, o) -> (36, i, o)."""
    return jnp.matmul(np.kron(_KERNEL, _KERNEL), kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])


def _transform_input(x):
    """(b, h, w, i), h and w whole tiles -> (36, tiles, i)."""
    _, h, w, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    down = jnp.stack(_combine(_INPUT, [x[:, k : k + h - 3 : TILE] for k in range(6)]))
    both = jnp.stack(_combine(_INPUT, [down[..., k : k + w - 3 : TILE, :] for k in range(6)]), axis=1)
    return both.reshape(36, -1, channels)


def _transform_input_adjoint(spectrum, b, rows, columns):
    """(36, tiles, i) -> (b, h, w, i): where tiles overlap, their parts are summed."""
    spectrum = spectrum.reshape(6, 6, b, rows, columns, -1)
    across = jnp.stack(_overlap(_combine(_INPUT.T, [spectrum[:, k] for k in range(6)]), axis=3), axis=4)
    both = jnp.stack(_overlap(_combine(_INPUT.T, list(across)), axis=1), axis=2)
    return both.reshape(b, rows * TILE, columns * TILE, -1)


def _transform_output(spectrum, b, rows, columns):
    """(36, tiles, o) -> (b, h, w, o)."""
    tiles = jnp.matmul(np.kron(_OUTPUT, _OUTPUT), spectrum.reshape(36, -1))
    tiles = tiles.reshape(TILE, TILE, b, rows, columns, -1).transpose(2, 3, 0, 4, 1, 5)
    return tiles.reshape(b, rows * TILE, columns * TILE, -1)


def _transform_output_adjoint(y):
    """(b, h, w, o), h and w whole tiles -> (36, tiles, o)."""
    b, h, w, channels = y.shape
    rows = y.reshape(b, h // TILE, TILE, -1)
    down = jnp.stack(_combine(_OUTPUT.T, [rows[:, :, k] for k in range(TILE)]))
    down = down.reshape(6, b, h // TILE, w // TILE, TILE, channels)
    both = jnp.stack(_combine(_OUTPUT.T, [down[..., k, :] for k in range(TILE)]), axis=1)
    return both.reshape(36, -1, channels)


def _combine(matrix, terms):
    """Multiplies a matrix by a vector of arrays, leaving out the products with zero.

    LLVM does not vectorise loops over 16 or 32 channels. They are fast where the last axis is a row of the image,
    unless XLA fuses an operation that needs the channel's index, such as BatchNorm, into the same loop.
    """
    return [
        sum(term if weight == 1 else float(weight) * term for weight, term in zip(row, terms, strict=True) if weight)
        for row in matrix
    ]


def _overlap(parts, axis):
    """The four columns of each tile from its six, of which the outer two lie in its neighbours along the axis."""
    first, *inner, last = parts
    inner[0] += _shifted(last, 1, axis)
    inner[-1] += _shifted(first, -1, axis)
    return inner


def _shifted(x, by, axis):
    """Shifts x by one place along an axis, filling with zeros."""
    count = x.shape[axis]
    kept = jax.lax.slice_in_dim(x, max(-by, 0), count - max(by, 0), axis=axis)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (max(by, 0), max(-by, 0))
    return jnp.pad(kept, widths)


def _whole_tiles(x):
    """Pads (b, h, w, c) with zeros below and to the right, to multiples of a tile's side."""
    return jnp.pad(x, ((0, 0), (0, -x.shape[1] % TILE), (0, -x.shape[2] % TILE), (0, 0)))
