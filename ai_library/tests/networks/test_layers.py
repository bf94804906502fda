"""The layers' values and gradients beside the textbook's, computed in float64."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library.networks.layers import BatchNormReLU, Conv, batch_norm_relu, conv3x3, max_pool
from ai_library.networks.winograd import _parts

pytestmark = pytest.mark.slow

ROUNDING = 2e-5
"""Of Winograd's algorithm in float32, as a share of the largest value; the plain sum has a tenth of it."""


def _normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _convolve(x, kernel, gradient=None):
    """Written out in float64, the sum over the nine shifts; or the gradients of both from that of the result."""
    h, w = x.shape[1:3]
    x, kernel = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0))), kernel.astype(np.float64)
    if gradient is None:
        return sum(x[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3))
    of_x, of_kernel = np.zeros_like(x), np.zeros_like(kernel)
    for i, j in np.ndindex(3, 3):
        of_x[:, i : i + h, j : j + w] += gradient @ kernel[i, j].T
        of_kernel[i, j] = np.tensordot(x[:, i : i + h, j : j + w], gradient, ((0, 1, 2), (0, 1, 2)))
    return of_x[:, 1:-1, 1:-1], of_kernel


def _with_gradients(function, gradient, *arguments):
    """The result, and the gradients of the arguments from that of the result: one program, soon compiled."""

    def both(gradient, *arguments):
        result, pull_back = jax.vjp(function, *arguments)
        return result, pull_back(gradient)

    return jax.jit(both)(gradient, *arguments)


def _in_float64(function, gradient, *arguments):
    """`_with_gradients` in twice the precision."""
    with jax.enable_x64(True):
        doubled = [np.asarray(argument, np.float64) for argument in (gradient, *arguments)]
        return jax.tree.map(np.asarray, _with_gradients(function, *doubled))


def _assert_close(found, wanted, tolerance=ROUNDING):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


# One cell, parts of tiles, too few channels for Winograd's algorithm, and whole tiles in two parts.
@pytest.mark.parametrize("shape", [(1, 1, 1, 8), (2, 13, 10, 8), (2, 9, 9, 1), (4, 48, 48, 64)])
def test_convolution_and_its_gradients_are_the_textbooks(shape):
    x, kernel, gradient = _normal(0, *shape), _normal(1, 3, 3, shape[-1], 24), _normal(2, *shape[:3], 24)
    assert len(_parts(x, kernel)) == (2 if len(x) == 4 else 1)  # the largest is done in two parts
    y, gradients = _with_gradients(conv3x3, gradient, x, kernel)
    _assert_close(y, _convolve(x, kernel))
    for found, wanted in zip(gradients, _convolve(x, kernel, gradient), strict=True):
        _assert_close(found, wanted)


@settings(max_examples=4, deadline=None)
@given(h=st.integers(1, 18), w=st.integers(1, 18), channels=st.integers(8, 12), features=st.integers(1, 9))
def test_convolution_takes_any_shape(h, w, channels, features):
    x, kernel = _normal(h, 2, h, w, channels), _normal(w, 3, 3, channels, features)
    _assert_close(jax.jit(conv3x3)(x, kernel), _convolve(x, kernel))


def test_a_gpu_convolves_by_its_own_library():
    def gradients(x, kernel):
        return jax.value_and_grad(lambda *inputs: conv3x3(*inputs).sum(), (0, 1))(x, kernel)

    def convolutions(platform):
        traced = jax.jit(gradients).trace(_normal(0, 2, 8, 8, 16), _normal(1, 3, 3, 16, 16))
        return traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.convolution")

    assert convolutions("cuda") == 3  # forward, and the gradients of the input and of the kernel
    assert convolutions("cpu") == 0


def test_pooling_is_linens_and_its_gradient_goes_to_one_cell():
    x = np.round(_normal(0, 2, 6, 8, 5))  # with many equal cells
    y, pull_back = jax.vjp(partial(max_pool, train=True), x)
    wanted, wanted_pull_back = jax.vjp(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    np.testing.assert_array_equal(y, wanted)
    gradient = _normal(1, *y.shape)
    np.testing.assert_array_equal(pull_back(gradient)[0], wanted_pull_back(gradient)[0])


def test_pooling_takes_an_odd_last_row_and_column_by_themselves():
    x = _normal(0, 1, 3, 5, 2)
    y, pull_back = jax.vjp(partial(max_pool, train=True), x)
    assert y.shape == (1, 2, 3, 2)
    np.testing.assert_array_equal(y[0, 1, 2], x[0, 2, 4])
    np.testing.assert_array_equal(y[0, 0, 2], x[0, :2, 4].max(axis=0))
    assert pull_back(jnp.ones(y.shape))[0].sum() == y.size


def _plain_batch_norm_relu(x, scale, bias, pool):
    axes = tuple(range(x.ndim - 1))
    y = jnp.maximum((x - x.mean(axes)) / jnp.sqrt(x.var(axes) + 1e-5) * scale + bias, 0)
    return nn.max_pool(y, (2, 2), (2, 2)) if pool else y


@pytest.mark.parametrize(("shape", "pool"), [((5, 6, 8, 7), False), ((5, 6, 8, 7), True), ((33, 7), False)])
def test_batch_norm_and_its_gradients_are_the_textbooks(shape, pool):
    x = 3 + 2 * _normal(0, *shape)
    scale, bias = np.array([1, -1, 0.5, -2, 1, 3, 0.1], np.float32), _normal(1, 7)

    def ours(*inputs):
        return batch_norm_relu(*inputs, pool)

    def plain(*inputs):
        return _plain_batch_norm_relu(*inputs, pool)

    gradient, none = _normal(2, *jax.eval_shape(plain, x, scale, bias).shape), np.zeros(7, np.float32)
    (y, mean, var), gradients = _with_gradients(ours, (gradient, none, none), x, scale, bias)
    wanted_y, wanted_gradients = _in_float64(plain, gradient, x, scale, bias)
    _assert_close(y, wanted_y, 1e-5)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(mean, x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(var, x.var(axes), rtol=1e-4)
    for found, wanted in zip(gradients, wanted_gradients, strict=True):
        _assert_close(found, wanted, 1e-5)


def test_a_channel_with_scale_zero_gets_its_gradient():
    x, bias = _normal(0, 4, 4, 4, 1), np.ones(1, np.float32)
    for pool in (False, True):
        gradient = jax.grad(lambda scale, pool=pool: batch_norm_relu(x, scale, bias, pool)[0].sum())
        assert np.isfinite(jax.jit(gradient)(np.zeros(1, np.float32))).all()


class Ours(nn.Module):
    pool: bool
    train: bool

    @nn.compact
    def __call__(self, x):
        return BatchNormReLU(self.pool, name="BatchNorm_0")(Conv(12)(x, self.train), self.train)


class Linens(Ours):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(12, (3, 3), use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(not self.train, momentum=0.9)(x))
        return nn.max_pool(x, (2, 2), (2, 2)) if self.pool else x


@pytest.fixture(scope="module")
def variables():
    """Those of linen's modules, with which the library's own begin too."""
    x, quickly = _normal(0, 4, 8, 8, 16), {"xla_backend_optimization_level": 1}  # random numbers take LLVM seconds
    fresh, wanted = (
        jax.jit(kind(True, True).init, compiler_options=quickly)(jax.random.key(0), x) for kind in (Ours, Linens)
    )
    jax.tree.map(np.testing.assert_array_equal, fresh, wanted)
    wanted["params"]["BatchNorm_0"]["scale"] = jnp.linspace(-1, 1, 12)
    wanted["batch_stats"]["BatchNorm_0"]["mean"] = jnp.linspace(-1, 1, 12)
    return wanted


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_the_modules_are_linens_with_the_same_variables(pool, train, variables):
    x = _normal(0, 4, 8, 8, 16)
    found, wanted = (
        jax.jit(partial(kind(pool, train).apply, mutable=["batch_stats"]))(variables, x) for kind in (Ours, Linens)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)
