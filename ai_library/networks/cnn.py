"""The network: five convolutions and two dense layers, each with BatchNorm but the last."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from .architecture import POOLED, Architecture
from .layers import BatchNormReLU, Conv, max_pool
from .network import Network


class CNN(Network):
    """A convolutional classifier that is fast on a CPU.

    The image is first folded into patches: `patch` x `patch` pixels become the channels of one grid cell (space to
    depth), so that a 64x64x1 image is seen as 16x16x16. A CPU spends most of a usual network's time on the first,
    large and thin layers, where its matrix units have almost nothing to multiply; here every convolution has at least
    16 channels on both sides, and the largest tensor of an image has 16x16 cells. `benchmarks/patches.py` measures the
    gain over smaller patches.

    Each convolution (3x3, without bias) is followed by BatchNorm and ReLU; the second and the fourth by 2x2 max
    pooling as well, placed before BatchNorm, which then has a quarter of the cells to normalise.

    It takes `images` (b, h, w, c) float32 in [-1, 1], of any height and width and 1 to 4 channels, and returns the
    logits (b, num_classes) float32. The parameters hold for the one image shape that they were initialised with.

    >>> cnn = CNN(num_classes=2, features=(4, 4, 8, 8, 8), dense=8)
    >>> cnn.variable_shapes(image_shape=(64, 64, 1))["params"]["Conv_0"]["kernel"].shape
    (3, 3, 16, 4)

    Args:
        num_classes: Number of classes, and so of logits.
        features: Channels of the five convolutions.
        dense: Width of the first dense layer.
        patch: Side in pixels of the patches; 1 leaves the image as it is. A side that it does not divide is padded.
    """

    SPLITS_BATCHES = True

    num_classes: int
    features: tuple[int, ...] = Architecture.features
    dense: int = Architecture.dense
    patch: int = Architecture.patch

    def __post_init__(self) -> None:
        for name, value in vars(Architecture(self.num_classes, self.features, self.dense, self.patch)).items():
            setattr(self, name, value)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool, axis_name: str | None = None) -> jax.Array:
        """The logits (b, num_classes) float32 of images (b, h, w, c) float32.

        With `train`, BatchNorm normalises by the statistics of the batch and updates the running ones, "batch_stats".
        With `axis_name` too, these are the statistics of the batch that the devices of this axis share.
        """
        x = space_to_depth(images, self.patch)
        for layer, channels in enumerate(self.features):
            x = Conv(channels)(x, train)
            if layer in POOLED and min(x.shape[1:3]) > 1:
                x = max_pool(x, train)
            x = BatchNormReLU(axis_name=axis_name, name=f"BatchNorm_{layer}")(x, train)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.dense, use_bias=False)(x)
        x = BatchNormReLU(axis_name=axis_name, name=f"BatchNorm_{len(self.features)}")(x, train)
        return nn.Dense(self.num_classes)(x)


def space_to_depth(images: jax.Array, patch: int) -> jax.Array:
    """(b, h, w, c) -> (b, h / patch, w / patch, patch * patch * c), padded with zeros where it does not divide."""
    b, h, w, c = images.shape
    rows, columns = -(-h // patch), -(-w // patch)
    x = jnp.pad(images, ((0, 0), (0, rows * patch - h), (0, columns * patch - w), (0, 0)))
    x = x.reshape(b, rows, patch, columns, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows, columns, patch * patch * c)
