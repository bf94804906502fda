"""Untrained classifiers whose BatchNorm has statistics as training leaves them, for the tests of exported files."""

import math

import jax
import numpy as np

from ai_library import Classifier
from ai_library.networks.initial import variable_shapes


def classifier_of(network, image_shape, **fields):
    """A classifier with random weights, and statistics that are none of a fresh network's."""
    rng = np.random.default_rng(0)
    shapes = variable_shapes(network, image_shape)  # initial values would be compiled
    variables = jax.tree.map_with_path(lambda path, leaf: _drawn(rng, path[-1].key, leaf), shapes)
    names = [f"class {index}" for index in range(network.num_classes)]
    return Classifier(network, variables, names, image_shape, **fields)


def _drawn(rng, name, leaf):
    """Kernels that keep the size of what they are multiplied with; of vectors, values near a fresh network's."""
    if len(leaf.shape) > 1:
        values = rng.normal(0, math.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
    else:
        values = (name in ("scale", "var")) + rng.uniform(0.1, 0.5, leaf.shape)
    return values.astype(leaf.dtype)


def some_images(image_shape, count):
    return np.random.default_rng(1).integers(0, 256, (count, *image_shape), np.uint8)
