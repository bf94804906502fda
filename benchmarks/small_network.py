"""A network of few parameters for MNIST: see `notes.md`, "MNIST with few parameters"."""

import sys
from pathlib import Path

import flax.linen as nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from ai_library.networks.layers import BatchNormReLU, Conv
from ai_library.networks.network import Network


class SmallNetwork(Network):
    """3x3 convolutions, the first and the third with pooling, and the mean over all cells before the one dense layer.

    Images (b, 28, 28, 1) float32 to logits (b, 10); called and initialised like `ai_library.CNN`.
    """

    SPLITS_BATCHES = True

    num_classes: int = 10
    features: tuple[int, ...] = (8, 12, 12, 16, 16)
    pooled: tuple[int, ...] = (0, 2)

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        x = images
        for layer, channels in enumerate(self.features):
            x = BatchNormReLU(pool=layer in self.pooled, axis_name=axis_name)(Conv(channels)(x, train), train)
        return nn.Dense(self.num_classes)(x.mean(axis=(1, 2)))
