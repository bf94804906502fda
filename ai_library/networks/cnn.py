"""The network: five convolutions and two dense layers, each with BatchNorm but the last."""

import dataclasses
import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..errors import check_image_shape
from .architecture import POOLED, PREPROCESSING, Architecture
from .layers import BatchNorm, Conv, max_pool


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
    pooling as well, placed before BatchNorm, which then has a quarter of the cells to normalise.

    Call it on `images` (b, h, w, c) float32 from `normalise`, of any height and width with 1 to 4
    channels, to get the logits (b, num_classes) float32. The parameters fit one image size and channel count: those it
    was initialised with.
    """

    num_classes: int
    features: tuple[int, ...] = Architecture.features
    """Channels of the five convolutions."""
    dense: int = Architecture.dense
    """Width of the first dense layer."""
    patch: int = Architecture.patch
    """Side in pixels of the patches; 1 leaves the image as it is. A side that it does not divide is padded."""

    def __post_init__(self):
        for name, value in vars(Architecture(self.num_classes, self.features, self.dense, self.patch)).items():
            setattr(self, name, value)
        super().__post_init__()

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        """`train` normalises by the batch's own statistics and updates the running ones, "batch_stats"; with
        `axis_name`, by those of the batch that the devices of this axis share.
        """
        norm = partial(BatchNorm, use_running_average=not train, axis_name=axis_name)
        x = _space_to_depth(images, self.patch)
        for layer, channels in enumerate(self.features):
            x = Conv(channels)(x)
            if layer in POOLED and min(x.shape[1:3]) > 1:
                x = max_pool(x)
            x = norm()(x)
        x = x.reshape(len(x), -1)
        x = norm()(nn.Dense(self.dense, use_bias=False)(x))
        return nn.Dense(self.num_classes)(x)

    def initialise(self, seed, image_shape):
        """The fresh variables {"params", "batch_stats"} for images (h, w, c), a pure function of the seed."""
        return _fresh_variables(jax.random.key(seed), self, check_image_shape(image_shape))

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


_QUICKLY = {"xla_backend_optimization_level": 1}
"""For what runs once, so that compiling it well would take longer than it ever saves."""


@partial(jax.jit, static_argnames=("model", "image_shape"), compiler_options=_QUICKLY)
def _fresh_variables(key, model, image_shape):
    return model.init(key, jnp.zeros((1, *image_shape)), train=False)


PART = 8
"""Images that a CPU predicts at a time: what the largest layers make of them stays in a core's cache."""


@partial(jax.jit, static_argnames="model")
def predict_logits(model, variables, images):
    """Logits (b, num_classes) float32 of images (b, h, w, c) uint8, b a multiple of `PART`, by the running statistics.

    One core does nearly all of a call, so that two calls at once keep two cores at work.
    """

    def logits(images):
        return model.apply(variables, normalise(images), train=False)

    def part_by_part(images):
        parts = images.reshape(-1, PART, *images.shape[1:])
        return jax.lax.map(logits, parts).reshape(len(images), -1)

    return jax.lax.platform_dependent(images, cpu=part_by_part, default=logits)


def _space_to_depth(images, patch):
    """(b, h, w, c) -> (b, h / patch, w / patch, patch * patch * c), padded with zeros where it does not divide."""
    b, h, w, c = images.shape
    rows, columns = -(-h // patch), -(-w // patch)
    x = jnp.pad(images, ((0, 0), (0, rows * patch - h), (0, columns * patch - w), (0, 0)))
    x = x.reshape(b, rows, patch, columns, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows, columns, patch * patch * c)


def _times(shape):
    return "x".join(map(str, shape)) or "-"


def _count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
