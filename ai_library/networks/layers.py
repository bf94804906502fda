"""Layers that are fast on CPUs: convolution, max pooling, and BatchNorm with ReLU.

They have the parameters of linen's own layers and give the same results within rounding. A network of your own can use
them, as `CNN` does.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from .architecture import EPSILON
from .winograd import winograd_conv, winograd_conv_gradients

_FEWEST_CHANNELS = 8
"""Least input channels for which Winograd's convolution is faster than the plain one."""


class Conv(nn.Module):
    """A 3x3 convolution without bias: (b, h, w, c) -> (b, h, w, features). Its parameter is `nn.Conv`'s."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """With `train`, the gradient is one that a CPU computes fast. Without it, forward-mode derivatives work too."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, x.shape[-1], self.features), jnp.float32)
        return conv3x3(x, kernel) if train else _conv3x3(x, kernel)


@jax.custom_vjp
def conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves x (b, h, w, i) with a kernel (3, 3, i, o), stride 1, zero padding, to (b, h, w, o)."""
    return _conv3x3(x, kernel)


def _conv3x3(x, kernel):
    if not _suits_winograd(x, kernel) or not isinstance(x.shape[0], int):  # jax.export may leave b open
        return _plain_conv(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=winograd_conv, default=_plain_conv)


def _conv3x3_gradients(inputs, gradient):
    x, kernel = inputs
    if not _suits_winograd(x, kernel):
        return _plain_gradients(x, kernel, gradient)
    return jax.lax.platform_dependent(x, kernel, gradient, cpu=winograd_conv_gradients, default=_plain_gradients)


def _suits_winograd(x, kernel):
    return kernel.shape[2] >= _FEWEST_CHANNELS and x.dtype == jnp.float32


conv3x3.defvjp(lambda x, kernel: (conv3x3(x, kernel), (x, kernel)), _conv3x3_gradients)


def _plain_conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _plain_gradients(x, kernel, gradient):
    return jax.vjp(_plain_conv, x, kernel)[1](gradient)


class BatchNormReLU(nn.Module):
    """BatchNorm and ReLU of x (..., c); its parameters and statistics are those of `nn.BatchNorm`.

    With `pool`, 2x2 max pooling of (b, h, w, c) follows.
    """

    pool: bool = False
    axis_name: str | None = None
    """The axis of the devices that share the batch; None for one device."""
    momentum: float = 0.9
    """Linen's default of 0.99 is too slow for runs of a few epochs: the statistics lag behind the weights."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """With `train`, uses the batch's mean and variance and updates the running ones; else uses the running ones."""
        shape = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        if not train:
            return _rectified(
                _extremes(x, scale) if self.pool else x, running_mean.value, running_var.value, scale, bias
            )
        x, mean, var = batch_norm_relu(x, scale, bias, self.pool, self.axis_name)  # pyright: ignore[reportGeneralTypeIssues]
        if not self.is_initializing():
            for running, value in ((running_mean, mean), (running_var, var)):
                running.value = self.momentum * running.value + (1 - self.momentum) * value
        return x


@partial(jax.custom_vjp[tuple[jax.Array, jax.Array, jax.Array]], nondiff_argnums=(3, 4))
def batch_norm_relu(
    x: jax.Array, scale: jax.Array, bias: jax.Array, pool: bool = False, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """BatchNorm of x (..., c) by its own mean and variance per channel, then ReLU, and with `pool` 2x2 max pooling.

    `pool` needs x (b, h, w, c) with even h and w. Returns the result, and the mean and the variance (c,), which have no
    gradients.

    Pooling is computed first, which leaves a quarter of the cells to normalise. The result is the same, because
    BatchNorm and ReLU are monotonic: the maximum stays the maximum, or, in a channel with a negative scale, the minimum
    becomes it. The gradient is written by hand to make few passes over the large arrays.
    """
    return _batch_norm_relu(x, scale, bias, pool, axis_name)[0]


def _batch_norm_relu(x, scale, bias, pool, axis_name):
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(_at_least_single(x))  # E[x^2] - E[x]^2 cancels too much in bfloat16
    mean, square = _mean_of_all((wide.mean(axes), (wide * wide).mean(axes)), axis_name)  # in one pass
    var = jnp.maximum(square - mean * mean, 0)
    kept = _extremes(x, scale) if pool else x
    return (_rectified(kept, mean, var, scale, bias), mean, var), (x, kept, mean, var, scale, bias)


def _batch_norm_relu_gradients(pool, axis_name, inputs, gradients):
    """The gradients of S. Ioffe and C. Szegedy (arXiv:1502.03167), section 3, with the terms of x collected."""
    x, kept, mean, var, scale, bias = inputs
    axes = tuple(range(x.ndim - 1))
    deviation = jax.lax.rsqrt(var + EPSILON)
    gradient = jnp.where(_rectified(kept, mean, var, scale, bias) > 0, gradients[0], 0).astype(_at_least_single(x))
    of_bias = gradient.sum(axes)
    of_scale = (gradient * (kept - mean)).sum(axes) * deviation
    factor = scale * deviation
    all_of_bias, all_of_scale = _mean_of_all((of_bias, of_scale), axis_name)
    slope = factor * deviation * all_of_scale * x.shape[-1] / x.size
    shift = factor * all_of_bias * x.shape[-1] / x.size - mean * slope
    direct = factor * gradient
    of_x = (_to_first(x, kept, direct) if pool else direct) - (shift + slope * x)
    return of_x.astype(x.dtype), of_scale.astype(scale.dtype), of_bias.astype(bias.dtype)


batch_norm_relu.defvjp(_batch_norm_relu, _batch_norm_relu_gradients)


def _at_least_single(x):
    return jnp.promote_types(x.dtype, jnp.float32)


def _mean_of_all(values, axis_name):
    """The means of two arrays (c,) over the devices of an axis, by one all-reduce for both."""
    return jax.lax.pmean(jnp.stack(values), axis_name) if axis_name else values


def _rectified(x, mean, var, scale, bias):
    factor = scale * jax.lax.rsqrt(var + EPSILON)
    return jnp.maximum(x * factor + (bias - mean * factor), 0).astype(x.dtype)


def _extremes(x, scale):
    """The largest of each 2x2 cells, or the smallest in channels with a negative scale."""
    quarters = _quarters(x)
    return jnp.where(scale < 0, _reduce(jnp.minimum, quarters), _reduce(jnp.maximum, quarters))


def max_pool(x: jax.Array, train: bool) -> jax.Array:
    """2x2 max pooling of (b, h, w, c), stride 2; an odd last row or column is pooled by itself.

    XLA's own window maximum is several times slower on CPUs, above all its gradient. With `train`, the gradient is the
    fast one, which goes to the first of equal cells. Without it, forward-mode derivatives work too.
    """
    return _max_pool(x) if train else _largest(x)


def _largest(x):
    return _reduce(jnp.maximum, _quarters(x))


@jax.custom_vjp
def _max_pool(x):
    return _largest(x)


def _max_pool_forward(x):
    largest = _largest(x)
    return largest, (x, largest)


def _max_pool_gradients(inputs, gradient):
    x, largest = inputs
    return (_to_first(x, largest, gradient),)


_max_pool.defvjp(_max_pool_forward, _max_pool_gradients)


def _to_first(x, kept, values):
    """Zeros like x (b, h, w, c), with `values` in the first cell of each 2x2 that holds the value kept of them."""
    b, h, w, c = x.shape
    found, parts = False, []
    for quarter in _quarters(x):
        here = (quarter == kept) & jnp.logical_not(found)
        found |= here
        parts.append(jnp.where(here, values, 0))
    rows = [jnp.stack(parts[:2], axis=3), jnp.stack(parts[2:], axis=3)]
    return jnp.stack(rows, axis=2).reshape(b, h + h % 2, w + w % 2, c)[:, :h, :w]


def _quarters(x):
    """The four cells of each 2x2 in reading order, (b, h / 2, w / 2, c) each."""
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), constant_values=-jnp.inf)
    return [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]


def _reduce(operation, quarters):
    return operation(operation(*quarters[:2]), operation(*quarters[2:]))
