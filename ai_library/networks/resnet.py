"""A residual network, the library's second, whose parameters do not depend on the image's size."""

import flax.linen as nn
import jax

from ..errors import MAX_CLASSES, InputError, whole_number
from .architecture import MAX_WIDTH
from .cnn import space_to_depth
from .layers import BatchNormReLU, Conv, max_pool
from .network import Network

MAX_BLOCKS = 64
_ALL_BLOCKS = 192
"""A larger network has more arrays than a model file can hold."""


class ResNet(Network):
    """A pre-activation residual network (He et al., arXiv:1603.05027) of 3x3 convolutions.

    The image is folded into patches, as in `CNN`. A 3x3 convolution maps them to the channels of the first stage. A
    block is BatchNorm, ReLU, convolution, twice, plus its input. Every stage after the first begins with 2x2 max
    pooling and a 1x1 convolution to its own channels. The last dense layer takes the mean over all cells, so that the
    parameters do not depend on the image's size.

    It takes `images` (b, h, w, c) float32 in [-1, 1] and returns the logits (b, num_classes) float32.

    >>> resnet = ResNet(num_classes=2, features=(4, 8), blocks=1)
    >>> resnet.variable_shapes(image_shape=(64, 64, 1))["params"]["Dense_1"]["kernel"].shape
    (8, 2)

    Args:
        num_classes: Number of classes, and so of logits.
        features: Channels of each stage.
        blocks: Blocks of each stage.
        patch: Side in pixels of the patches; 1 leaves the image as it is.
    """

    SPLITS_BATCHES = True

    num_classes: int
    features: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    patch: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.features, (tuple, list)) or not 1 <= len(self.features) <= MAX_BLOCKS:
            raise InputError(f"features must be the channels of 1 to {MAX_BLOCKS} stages, got {self.features!r}")
        self.features = tuple(whole_number("features", channels, 1, MAX_WIDTH) for channels in self.features)
        self.num_classes = whole_number("num_classes", self.num_classes, 2, MAX_CLASSES)
        self.blocks = whole_number("blocks", self.blocks, 1, MAX_BLOCKS)
        if len(self.features) * self.blocks > _ALL_BLOCKS:
            raise InputError(
                f"features and blocks must make at most {_ALL_BLOCKS} blocks in all stages, got "
                f"{len(self.features)} stages of {self.blocks}"
            )
        self.patch = whole_number("patch", self.patch, 1, MAX_WIDTH)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool, axis_name: str | None = None) -> jax.Array:
        """The logits (b, num_classes) float32 of images (b, h, w, c) float32.

        With `train`, BatchNorm normalises by the statistics of the batch and updates the running ones, "batch_stats".
        With `axis_name` too, these are the statistics of the batch that the devices of this axis share.
        """
        x = Conv(self.features[0])(space_to_depth(images, self.patch), train)
        for stage, channels in enumerate(self.features):
            if stage:
                x = max_pool(x, train) if min(x.shape[1:3]) > 1 else x
                x = nn.Dense(channels, use_bias=False)(x)
            for _ in range(self.blocks):
                y = Conv(channels)(BatchNormReLU(axis_name=axis_name)(x, train), train)
                x = x + Conv(channels)(BatchNormReLU(axis_name=axis_name)(y, train), train)
        x = BatchNormReLU(axis_name=axis_name)(x, train).mean(axis=(1, 2))
        return nn.Dense(self.num_classes)(x)
