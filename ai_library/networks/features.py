"""What the last layer of a network gets: its embedding of images."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from .initial import apply_function
from .network import normalise


def predict_features(model: nn.Module, variables: dict[str, Any], images: jax.Array | np.ndarray) -> jax.Array:
    """The input (b, width) float32 of the `nn.Dense` that gives the logits, for images (b, h, w, c) uint8.

    Raises `InputError` where the logits are not the output of an `nn.Dense`.
    """
    return _predict_features(apply_function(model), variables, images)


@partial(jax.jit, static_argnums=0)
def _predict_features(apply, variables, images):
    dense = []

    def record(call, args, kwargs, context):
        output = call(*args, **kwargs)
        if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
            dense.append((args[0], output))
        return output

    with nn.intercept_methods(record):
        logits = apply(variables, normalise(images), train=False)
    # A network may cast what its layer gives, which is then another array.
    of_last = [pair for pair in dense[-1:] if pair[1].shape == logits.shape and pair[1].dtype != logits.dtype]
    found = [pair for pair in dense if pair[1] is logits] or of_last
    if not found:
        raise InputError(
            f"features are what the last nn.Dense gets, but in {type(apply.__self__).__name__} none gives the logits"
        )
    return found[0][0].reshape(len(images), -1).astype(jnp.float32)
