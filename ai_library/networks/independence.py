"""Whether the logits of an image depend on the other images that are predicted with it."""

import numpy as np

from ..errors import InputError
from .classifier import Classifier
from .initial import is_own

_ROUNDING = 0.01
"""Largest difference of two logits that rounding to 16 bits explains, as a fraction of the largest logit."""


def check_independence(classifier: Classifier) -> None:
    """Raises `InputError` if the logits of an image depend on the rest of its batch.

    The logits of an image in a full block of similar images are compared with those of the image in a block of black
    ones, at four brightnesses. The library's own networks are not checked.
    """
    if not is_own(classifier.model):
        return
    predict, rng = classifier._by_jax()[0], np.random.default_rng(0)
    for low, high in ((0, 256), (100, 150), (0, 20), (235, 256)):
        images = rng.integers(low, high, (classifier.block, *classifier.image_shape), np.uint8)
        others_black = np.concatenate([images[:1], np.zeros_like(images[1:])])
        together, alone = predict(images)[0], predict(others_black)[0]
        largest = np.abs(alone).max()
        if np.isfinite(largest) and not np.allclose(together, alone, rtol=0, atol=_ROUNDING * largest):
            raise InputError(
                f"the logits of an image must not depend on the other images of the batch, but those of "
                f"{type(classifier.model).__name__} with train=False do: take means and other statistics of each image"
            )
