"""Network P (see `networks.py`) in this library's own layers."""

import sys

import flax.linen as nn
from measuring import ROOT
from networks import NETWORKS

sys.path.insert(0, str(ROOT))

from ai_library.networks.layers import BatchNormReLU, Conv
from ai_library.networks.network import Network


class NetworkP(Network):
    """Images (b, 64, 64, 1) float32 to logits (b, 9); called and initialised like `ai_library.CNN`."""

    SPLITS_BATCHES = True

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        network, x = NETWORKS["P"], images
        for layer, features in enumerate(network.features):
            norm = BatchNormReLU(pool=True, axis_name=axis_name, name=f"BatchNorm_{layer}")
            x = norm(Conv(features)(x, train), train)
        x = nn.relu(nn.Dense(network.dense)(x.reshape(len(x), -1)))
        return nn.Dense(9)(x)
