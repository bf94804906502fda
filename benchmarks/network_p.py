"""Network P (see `networks.py`) in this library's own layers."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
from measuring import ROOT
from networks import NETWORKS

sys.path.insert(0, str(ROOT))

from ai_library.networks.layers import BatchNorm, Conv


class NetworkP(nn.Module):
    """Images (b, 64, 64, 1) float32 to logits (b, 9); called and initialised like `ai_library.CNN`."""

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        network, x = NETWORKS["P"], images
        for features in network.features:
            norm = BatchNorm(use_running_average=not train, pool=True, axis_name=axis_name)
            x = norm(Conv(features)(x))
        x = nn.relu(nn.Dense(network.dense)(x.reshape(len(x), -1)))
        return nn.Dense(9)(x)

    def initialise(self, seed, image_shape):
        """The fresh variables {"params", "batch_stats"} for images (h, w, c)."""
        return self.init(jax.random.key(seed), jnp.zeros((1, *image_shape)), train=False)
