"""Untrained classifiers whose BatchNorm has statistics as training leaves them, for the tests of exported files."""

import jax
import numpy as np

from ai_library import Classifier
from ai_library.networks.network import initialise


def classifier_of(network, image_shape, **fields):
    """A classifier with random weights, and statistics that are none of a fresh network's."""
    rng = np.random.default_rng(0)
    fresh = initialise(network, 0, image_shape)
    variables = {kind: jax.tree.map(lambda leaf: _other(rng, leaf), tree) for kind, tree in fresh.items()}
    names = [f"class {index}" for index in range(network.num_classes)]
    return Classifier(network, variables, names, image_shape, **fields)


def _other(rng, leaf):
    """Kernels as they are; of vectors, which BatchNorm and biases have, values around theirs."""
    leaf = np.asarray(leaf)
    return leaf if leaf.ndim > 1 else (leaf + rng.uniform(0.1, 0.5, leaf.shape)).astype(leaf.dtype)


def some_images(image_shape, count):
    return np.random.default_rng(1).integers(0, 256, (count, *image_shape), np.uint8)
