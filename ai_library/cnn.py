"""The network: five convolutions and two dense layers, each with BatchNorm but the last."""

import dataclasses
import math
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

from .errors import InputError

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 4096
MAX_WIDTH = 1 << 14
PREPROCESSING = {"scale": 1 / 127.5, "offset": -1.0}
"""What `normalise` does to a pixel; a model file says with which values its weights were trained."""


def normalise(images):
    """Maps pixels (b, h, w, c) uint8 to float32 in [-1, 1]."""
    return images.astype(jnp.float32) * PREPROCESSING["scale"] + PREPROCESSING["offset"]


class CNN(nn.Module):
    """A convolutional classifier that is fast on a CPU.

    The image is first folded into patches: `patch` x `patch` pixels become the channels of one grid cell (space to
    depth), so that a 64x64x1 image is seen as 16x16x16. A CPU spends most of a usual network's time on the first,
    large and thin layers, where its matrix units have almost nothing to multiply; here every convolution has at least
    16 channels on both sides and the largest tensor of an image has 16x16 cells. What that brings beside smaller
    patches is measured by `benchmarks/patches.py`.

    Each convolution (3x3, without bias) is followed by BatchNorm and ReLU; the second and the fourth by 2x2 max
    pooling as well, placed before BatchNorm, which then has a quarter of the cells to normalise. The maximum is taken
    over four strided views, since XLA's own window maximum has a slow gradient on CPUs.

    Call it on `images` (b, h, w, c) float32 from `normalise`, with any h and w from 16 up, to get the logits
    (b, num_classes) float32. The parameters fit one image size and channel count: those it was initialised with.
    """

    num_classes: int
    features: tuple[int, ...] = (32, 64, 64, 128, 128)
    """Channels of the five convolutions."""
    dense: int = 128
    """Width of the first dense layer."""
    patch: int = 4
    """Side in pixels of the patches; 1 leaves the image as it is. A side that it does not divide is padded."""

    def __post_init__(self):
        self.num_classes = _whole("num_classes", self.num_classes, least=2)
        if not isinstance(self.features, (tuple, list)) or len(self.features) != 5:
            raise InputError(f"features={self.features!r} do not fit: the network has five convolutions")
        self.features = tuple(_whole("features", channels) for channels in self.features)
        self.dense, self.patch = _whole("dense", self.dense), _whole("patch", self.patch)
        super().__post_init__()

    @nn.compact
    def __call__(self, images, train: bool):
        """`train` normalises by the batch's own statistics and updates the running ones, "batch_stats"."""
        x = _space_to_depth(images, self.patch)
        for layer, channels in enumerate(self.features):
            x = nn.Conv(channels, kernel_size=(3, 3), use_bias=False)(x)
            if layer in (1, 3) and min(x.shape[1:3]) > 1:
                x = _max_pool(x)
            x = nn.relu(self._batch_norm(train)(x))
        x = x.reshape(len(x), -1)
        x = nn.relu(self._batch_norm(train)(nn.Dense(self.dense, use_bias=False)(x)))
        return nn.Dense(self.num_classes)(x)

    def initialise(self, seed, image_shape):
        """The fresh variables {"params", "batch_stats"} for images (h, w, c), a pure function of the seed."""
        check_image_shape(image_shape)
        images = jnp.zeros((1, *image_shape))
        # It runs once, so that compiling it well would take longer than it ever saves.
        quickly = {"xla_backend_optimization_level": 1}
        init = jax.jit(self.init, static_argnames="train", compiler_options=quickly)
        return init(jax.random.key(seed), images, train=False)

    def variable_shapes(self, image_shape):
        """Shapes and types of the variables for images (h, w, c), in their tree; nothing is computed."""
        check_image_shape(image_shape)
        return jax.eval_shape(lambda: self.init(jax.random.key(0), jnp.zeros((1, *image_shape)), train=False))

    def summary(self, image_shape):
        """A printable table of the layers, their output shapes and parameter counts for images (h, w, c)."""
        outputs = {}

        def record(call, args, kwargs, context):
            output = call(*args, **kwargs)
            if context.module.name:  # the network itself has none
                outputs[context.module.name] = output.shape[1:]
            return output

        with nn.intercept_methods(record):
            params = self.variable_shapes(image_shape)["params"]
        lines = [f"{'layer':<14}{'kernel':>14}{'output':>14}{'parameters':>14}"]
        for name, output in outputs.items():
            kernel = params[name]["kernel"].shape if "kernel" in params[name] else ()
            lines.append(f"{name:<14}{_times(kernel):>14}{_times(output):>14}{_count(params[name]):>14,}")
        lines.append(f"{'total for ' + _times(image_shape) + ' images':<42}{_count(params):>14,}")
        return "\n".join(lines)

    def architecture(self):
        """The arguments that make this network again, as JSON has them: `CNN(**architecture)`."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("parent", "name")
        }

    def _batch_norm(self, train):
        # Momentum 0.9: linen's default of 0.99 lags behind the weights on runs as short as ours.
        return nn.BatchNorm(use_running_average=not train, momentum=0.9)


def check_image_shape(image_shape) -> tuple[int, int, int]:
    """The image shape as plain integers. Raises `InputError` unless it is an (h, w, c) that the network takes."""
    try:
        height, width, channels = map(operator.index, image_shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    if not MIN_IMAGE_SIZE <= min(height, width) <= max(height, width) <= MAX_IMAGE_SIZE or channels not in (1, 3):
        raise InputError(
            f"image shape {image_shape!r} does not fit: the network takes (height, width, channels) with sides from "
            f"{MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE:,} pixels and 1 or 3 channels"
        )
    return height, width, channels


def _whole(name, value, least=1):
    """The value as a plain integer, which numpy's are not: a model file's header could not hold them."""
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if not least <= count <= MAX_WIDTH:
        raise InputError(f"{name}={value!r} does not fit: it needs to be a whole number from {least} to {MAX_WIDTH:,}")
    return count


def _space_to_depth(images, patch):
    """(b, h, w, c) -> (b, h / patch, w / patch, patch * patch * c), padded with zeros where it does not divide."""
    b, h, w, c = images.shape
    rows, columns = -(-h // patch), -(-w // patch)
    x = jnp.pad(images, ((0, 0), (0, rows * patch - h), (0, columns * patch - w), (0, 0)))
    x = x.reshape(b, rows, patch, columns, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows, columns, patch * patch * c)


def _max_pool(x):
    """Largest of each 2x2 cells of (b, h, w, c); an odd last row or column is taken by itself."""
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), constant_values=-jnp.inf)
    return jnp.maximum(
        jnp.maximum(x[:, 0::2, 0::2], x[:, 0::2, 1::2]),
        jnp.maximum(x[:, 1::2, 0::2], x[:, 1::2, 1::2]),
    )


def _times(shape):
    return "x".join(map(str, shape)) or "-"


def _count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
