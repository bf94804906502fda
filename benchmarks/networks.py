"""The networks that training and prediction are measured on, as every framework's benchmark builds them.

P ("plain") is a network as beginners write it: five 3x3 convolutions on 64x64x1, each with BatchNorm, ReLU and 2x2 max
pooling, and two dense layers. "default" is `ai_library.CNN(num_classes=9)`. "shapes" is that of `train_shapes.py` and
of its committed model.
"""

from dataclasses import dataclass

import numpy as np

IMAGE_SIDE, CLASSES = 64, 9


@dataclass(frozen=True, kw_only=True)
class Network:
    """3x3 convolutions without bias, each with BatchNorm and ReLU, then two dense layers, the first with ReLU."""

    features: tuple[int, ...]
    """Channels of the convolutions."""
    pooled: tuple[int, ...]
    """Which of the convolutions have a 2x2 max pooling."""
    patch: int = 1
    """Side of the squares of pixels that are folded into channels first."""
    pool_first: bool = False
    """The pooling stands before BatchNorm and ReLU, not after them."""
    dense_norm: bool = False
    """The first dense layer has BatchNorm in place of a bias."""
    dense: int = 128

    @property
    def flat(self) -> int:
        """Values of an image that the first dense layer sees."""
        return (IMAGE_SIDE // self.patch >> len(self.pooled)) ** 2 * self.features[-1]

    @property
    def forward_flop(self) -> int:
        """Floating-point operations of the convolutions, done directly, and of the dense layers, for one image: twice
        their multiply-adds."""
        side, channels, multiplied = IMAGE_SIDE // self.patch, self.patch**2, 0
        for layer, features in enumerate(self.features):
            multiplied += side**2 * 9 * channels * features
            side //= 2 if layer in self.pooled else 1
            channels = features
        return 2 * (multiplied + self.flat * self.dense + self.dense * CLASSES)

    @property
    def parameters(self) -> int:
        """Number of trained parameters, which must be the same in every framework."""
        channels = (self.patch**2, *self.features)
        convolutions = sum(
            9 * before * after + 2 * after for before, after in zip(channels, self.features, strict=False)
        )
        first = self.flat * self.dense + (2 if self.dense_norm else 1) * self.dense
        return convolutions + first + self.dense * CLASSES + CLASSES


NETWORKS = {
    "P": Network(features=(32, 64, 128, 128, 256), pooled=(0, 1, 2, 3, 4)),
    "default": Network(features=(32, 64, 64, 128, 128), pooled=(1, 3), patch=4, pool_first=True, dense_norm=True),
    "shapes": Network(features=(16, 32, 64, 64, 64), pooled=(1, 3), patch=4, pool_first=True, dense_norm=True),
}


def batches(batch_size: int, count: int = 4):
    """`count` batches of random images (b, 64, 64, 1) uint8 and labels (b,) int32, held in memory."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, batch_size, IMAGE_SIDE, IMAGE_SIDE, 1), np.uint8)
    return list(zip(images, rng.integers(0, CLASSES, (count, batch_size), np.int32), strict=True))


def as_float(images):
    """Pixels uint8 as float32 in [-1, 1], for frameworks whose networks take no others."""
    return images.astype(np.float32) / 127.5 - 1
