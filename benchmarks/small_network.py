"""A network of few parameters for MNIST: see `notes.md`, "MNIST with few parameters"."""

import sys
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp

sys.path.insert(0, str(Path(__file__).parents[1]))

from ai_library.networks.layers import BatchNormReLU, Conv
from ai_library.networks.network import Network


class SmallNetwork(Network):
    """Six 3x3 convolutions, of which the last four share their kernel, a 1x1 convolution, and a dense layer.

    Depth is cheap where layers share a kernel; each has a BatchNorm of its own. Before the dense layer, each channel is
    averaged over the cells, with a weight for each cell that it learns.

    Images (b, h, w, c) float32 to logits (b, num_classes); called and initialised like `ai_library.CNN`.
    """

    SPLITS_BATCHES = True

    num_classes: int = 10
    first: int = 8
    features: int = 20
    widened: int = 32

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        def rectified(x, pool=False):
            return BatchNormReLU(pool=pool, axis_name=axis_name)(x, train)

        x = rectified(Conv(self.first)(images, train), pool=True)
        x = rectified(Conv(self.features)(x, train))
        shared = Conv(self.features)
        x = x + rectified(shared(x, train))
        x = rectified(shared(x, train), pool=True)
        x = x + rectified(shared(x, train))
        x = x + rectified(shared(x, train))
        x = rectified(nn.Dense(self.widened, use_bias=False)(x))
        cells = x.shape[1:]
        weights = self.param("weights", nn.initializers.constant(1 / (cells[0] * cells[1])), cells, jnp.float32)
        return nn.Dense(self.num_classes)((x * weights).sum(axis=(1, 2)))
