"""Networks as a user of the library writes them, for its tests."""

import flax.linen as nn
import jax
import numpy as np

from ai_library import CNN, ResNet
from ai_library.networks.initial import variable_shapes
from ai_library.networks.layers import BatchNormReLU


class Mirrored(CNN):
    """A network with the arguments and the weights of a `CNN`, which sees its images from behind."""

    def __call__(self, images, train, axis_name=None):
        return super().__call__(images[:, :, ::-1], train, axis_name)


class Stock(nn.Module):
    """Linen's own convolution and BatchNorm."""

    num_classes: int
    widths: tuple[int, ...] = (4, 8)

    @nn.compact
    def __call__(self, images, train: bool):
        x = images
        for width in self.widths:
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(width, (3, 3), strides=2)(x)))
        return nn.Dense(self.num_classes)(x.reshape(len(x), -1))


class Dropping(nn.Module):
    """LayerNorm and dropout, and an argument that JSON has no form for."""

    num_classes: int
    rate: float = 0.5
    activation: object = nn.gelu

    @nn.compact
    def __call__(self, images, train: bool):
        x = self.activation(nn.LayerNorm()(nn.Dense(8)(images.reshape(len(images), -1))))
        return nn.Dense(self.num_classes)(nn.Dropout(self.rate, deterministic=not train)(x))


class Linear(nn.Module):
    """No state at all."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


class Standardising(nn.Module):
    """Standardises its images by their own statistics, or by those of the whole batch."""

    num_classes: int
    axes: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, images, train):
        mean, deviation = images.mean(self.axes, keepdims=True), images.std(self.axes, keepdims=True)
        return nn.Dense(self.num_classes)(((images - mean) / (deviation + 1e-6)).reshape(len(images), -1))


class Dimming(nn.Module):
    """Sees nothing where `light` is 0."""

    num_classes: int
    light: float = 0.5

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)(self.light * images.reshape(len(images), -1))


class Shallow(nn.Module):
    """Few layers, which are soon compiled, and BatchNorm of the whole batch."""

    SPLITS_BATCHES = True

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool, axis_name=None):
        x = nn.Conv(4, (3, 3), strides=2, use_bias=False)(images)
        x = BatchNormReLU(pool=True, axis_name=axis_name)(x, train)
        x = nn.Dense(4, use_bias=False)(x.reshape(len(x), -1))
        return nn.Dense(self.num_classes)(BatchNormReLU(axis_name=axis_name)(x, train))


OWN = [Mirrored, Stock, Dropping, Linear]


def made(kind, num_classes=3):
    """A small network of the class."""
    small = {"features": (4, 8)} if issubclass(kind, ResNet) else {}
    if issubclass(kind, CNN):
        small = {"features": (8,) * 5, "dense": 8}
    return kind(num_classes=num_classes, **small)


def drawn(model, image_shape, seed=0):
    """Variables of a network, drawn by numpy: its own initial ones would be one more program to compile.

    Kernels keep the size of what they get; other parameters and statistics differ from 0, and variances are positive.
    """
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if leaf.ndim < 2:
            return rng.uniform(0.6, 1.4, leaf.shape).astype(leaf.dtype)
        return (rng.normal(size=leaf.shape) / np.sqrt(leaf.size / leaf.shape[-1])).astype(leaf.dtype)

    return jax.tree.map(draw, variable_shapes(model, image_shape))
