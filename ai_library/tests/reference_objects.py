"""What the examples of the API reference begin with."""

# ruff: noqa: F401, F403, F405

import flax.linen as nn
import jax
import numpy as np

from ai_library import *


class Linear(nn.Module):
    """The smallest network: one dense layer."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


source = ShapeDataSource(class_names=("circle", "star"), image_size=16, sizes=(64, 32, 32))
network = Linear(num_classes=2)
config = TrainConfig(epochs=2, batch_size=32)
classifier = Trainer(network, source, config, run_dir=False, verbose=False).fit()
