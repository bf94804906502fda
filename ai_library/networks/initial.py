"""What a run begins with: the network, by which compiled programs are found again, and its initial variables."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..errors import check_image_shape
from ..runtime.jax_settings import random_key, settings
from ..runtime.lowered import digest

_QUICKLY = {"xla_backend_optimization_level": 1}
"""Compiler options for programs that run once: optimising them would take longer than it saves."""


@settings()
def initialise(model: nn.Module, seed: int, image_shape: Sequence[int]) -> dict[str, Any]:
    """The initial variables for images (h, w, c), a pure function of the seed.

    They are "params" and the collections of the network's state.
    """
    return initial_variables(for_run(model, image_shape), seed, image_shape)


@settings()
def initial_variables(model: nn.Module, seed: int, image_shape: Sequence[int]) -> dict[str, Any]:
    """Those of `initialise`, for a network that `for_run` gave."""
    return _fresh_variables(random_key(seed), apply_function(model), check_image_shape(image_shape))


@partial(jax.jit, static_argnames=("apply", "image_shape"), compiler_options=_QUICKLY)
def _fresh_variables(key, apply, image_shape):
    return _init(apply.__self__, key, image_shape)


def _init(model, key, image_shape):
    return nn.unbox(model.init(key, jnp.zeros((1, *image_shape), jnp.float32), train=False))


@settings()
def variable_shapes(model: nn.Module, image_shape: Sequence[int]) -> dict[str, Any]:
    """The tree of the variables for images (h, w, c), as shapes and types; nothing is computed."""
    return jax.eval_shape(lambda: _init(model, random_key(0), check_image_shape(image_shape)))


def is_own(model: nn.Module) -> bool:
    """Whether the network's class is the user's own, and not one of the library, which are all in this folder."""
    return not type(model).__module__.startswith(f"{__package__}.")


@settings()
def for_run(model: nn.Module, image_shape: Sequence[int]) -> nn.Module:
    """The network object for a new run on images (h, w, c). Runs with the same object share compiled programs.

    A network of the library's own is returned as it is. For one of the user's own it is an equal object: that of an
    earlier run if both compute the same, else a new one, because what the code reads, such as a global variable, may
    have changed.
    """
    if not is_own(model):
        return model
    try:
        return _equal(model, tuple(image_shape), _computed(model.clone(), image_shape))
    except Exception:  # such networks are refused, or share nothing
        return model.clone()


@lru_cache
def _equal(model, image_shape, computed):
    return model.clone()


def _computed(model, image_shape):
    """A digest of all that a run computes by a network: initial variables, predictions, and outputs in training."""

    def whole(key, variables, images):
        state = sorted(variables.keys() - {"params"})
        trained = model.apply(variables, images, train=True, rngs={"dropout": key}, mutable=state)
        return _init(model, key, image_shape), model.apply(variables, images, train=False), trained

    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    return digest(jax.jit(whole).lower(random_key(0), variable_shapes(model, image_shape), images))


def apply_function(model: nn.Module) -> Callable[..., Any]:
    """`model.apply`, by which compiled programs are found again.

    It is the same for equal networks of the library's own. That of the user's own differs for each object, as bound
    methods do: see `for_run`.
    """
    return model.apply if is_own(model) else _shared_apply(model)


@lru_cache
def _shared_apply(model):
    return model.apply
