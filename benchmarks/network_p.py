"""Network P (see `networks.py`) in this library's own layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from networks import NETWORKS


def Conv3x3(features):  # noqa: N802
    return nn.Conv(features, kernel_size=(3, 3), use_bias=False)


class BatchNormReLU(nn.Module):
    train: bool
    pool: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=not self.train, momentum=0.9)(x))
        if self.pool:
            x = jnp.maximum(
                jnp.maximum(x[:, 0::2, 0::2], x[:, 0::2, 1::2]), jnp.maximum(x[:, 1::2, 0::2], x[:, 1::2, 1::2])
            )
        return x


class NetworkP(nn.Module):
    """Images (b, 64, 64, 1) float32 to logits (b, 9); called and initialised like `ai_library.CNN`."""

    @nn.compact
    def __call__(self, images, train: bool):
        network, x = NETWORKS["P"], images
        for features in network.features:
            x = BatchNormReLU(train, pool=True)(Conv3x3(features)(x))
        x = nn.relu(nn.Dense(network.dense)(x.reshape(len(x), -1)))
        return nn.Dense(9)(x)

    def initialise(self, seed, image_shape):
        """The fresh variables {"params", "batch_stats"} for images (h, w, c)."""
        return self.init(jax.random.key(seed), jnp.zeros((1, *image_shape)), train=False)
