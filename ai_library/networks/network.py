"""What the library does with any network: checks of it, logits, a summary, and its arguments.

A network is a linen module that is called with images (b, h, w, c) float32 in [-1, 1] and with `train`, and returns the
logits (b, num_classes). It may have BatchNorm or other state, and dropout, which draws from the RNG "dropout".
"""

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict
from flax.errors import InvalidRngError, ModifyScopeVariableError

from ..errors import InputError, check_image_shape
from ..files.text import listed
from ..runtime.jax_settings import random_key, settings
from ..runtime.lowered import digest
from .architecture import PREPROCESSING
from .initial import apply_function, initialise, variable_shapes

PART = 8
"""Number of images that a CPU predicts at a time with a network of the library's own: their largest activations stay in
a core's cache."""


def normalise(images: jax.Array) -> jax.Array:
    """Maps pixels (b, h, w, c) uint8 to float32 in [-1, 1]."""
    return images.astype(jnp.float32) * PREPROCESSING["scale"] + PREPROCESSING["offset"]


@settings()
def check_network(model: nn.Module, image_shape: Sequence[int], num_classes: int) -> None:
    """Checks that a network takes images (h, w, c) and gives `num_classes` logits, with `train` and without.

    Without `train`, it must not need random numbers or change its state. Nothing is computed. Raises `InputError` where
    the network does not, or if it cannot be hashed.
    """
    check_module(model)
    name, image_shape = type(model).__name__, check_image_shape(image_shape)
    if splits_batches(model) and getattr(model, "num_classes", None) == num_classes:
        return  # the library's own take any image; tracing them takes half a second

    def call(train, variables, images):
        if not train:
            return model.apply(variables, images, train=False)  # as prediction calls it
        state = sorted(variables.keys() - {"params"})
        return model.apply(variables, images, train=True, rngs={"dropout": random_key(0)}, mutable=state)[0]

    with errors_named(model, image_shape, train=False):
        variables = variable_shapes(model, image_shape)
    for train, b in ((False, 2), (False, 1), (True, 2)):
        with errors_named(model, image_shape, train):
            images = jax.ShapeDtypeStruct((b, *image_shape), jnp.float32)
            logits = jax.eval_shape(partial(call, train), variables, images)
        if getattr(logits, "shape", None) != (b, num_classes):
            found = getattr(logits, "shape", type(logits).__name__)
            raise InputError(
                f"{name} must give logits (b, {num_classes}), one for each class, but gives {found} for b = {b}"
            )


def check_module(model: Any) -> None:
    """Raises `InputError` unless the network is a linen module that can be hashed, as compiled programs need it."""
    if not isinstance(model, nn.Module):
        raise InputError(f"the network must be a flax.linen.Module, got {type(model).__name__}")
    try:
        hash(model)
    except TypeError as error:
        own = {field.name: getattr(model, field.name, None) for field in dataclasses.fields(model)}
        found = [
            f"{name} is a {type(value).__name__}" for name, value in own.items() if not isinstance(value, Hashable)
        ]
        raise InputError(
            f"{type(model).__name__} must be hashable, but {', '.join(found) or 'a field of it is not'}: use a tuple, "
            "or flax.core.FrozenDict for a dict"
        ) from error


@contextlib.contextmanager
def errors_named(model: nn.Module, image_shape: Sequence[int], train: bool) -> Iterator[None]:
    """Within the block, whatever a network raises when it is called becomes an `InputError` that names it."""
    name, sides = type(model).__name__, ", ".join(map(str, image_shape))
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        if not train and isinstance(error, (InvalidRngError, ModifyScopeVariableError)):
            raise InputError(
                f"with train=False {name} must not need random numbers or change its state, but raises {reason}: "
                "give nn.Dropout deterministic=not train, and nn.BatchNorm use_running_average=not train"
            ) from error
        raise InputError(
            f"{name} must take images (b, {sides}) float32 and train={train}, but raises {reason}"
        ) from error


def summary(model: nn.Module, image_shape: Sequence[int]) -> str:
    """A printable table of the layers, their output shapes and parameter counts for images (h, w, c)."""
    outputs = {}

    def record(call, args, kwargs, context):
        output = call(*args, **kwargs)
        if context.module.path and context.method_name == "__call__":  # the network itself has no path
            outputs[context.module.path] = getattr(output, "shape", (0,))[1:]
        return output

    with nn.intercept_methods(record):
        params = variable_shapes(model, image_shape).get("params", {})
    lines = [f"{'layer':<22}{'kernel':>14}{'output':>14}{'parameters':>14}"]
    for path, output in outputs.items():
        own = params
        for name in path:
            own = own.get(name, {})
        if any(len(other) > len(path) and other[: len(path)] == path for other in outputs):
            continue  # its layers have lines of their own
        kernel = own["kernel"].shape if "kernel" in own else ()
        lines.append(f"{'/'.join(path):<22}{_times(kernel):>14}{_times(output):>14}{_count(own):>14,}")
    lines.append(f"{'total for ' + _times(image_shape) + ' images':<50}{_count(params):>14,}")
    return "\n".join(lines)


def predict_logits(
    model: nn.Module, variables: dict[str, Any], images: jax.Array | np.ndarray, part_by_part: bool = False
) -> jax.Array:
    """Logits (b, num_classes) float32 of images (b, h, w, c) uint8, in evaluation mode.

    With `part_by_part`, a CPU computes `PART` images at a time, and b must be a multiple of it. Such a call uses little
    more than one core, so that two concurrent calls keep two cores busy.
    """
    return _predict_logits(apply_function(model), variables, images, part_by_part)


@partial(jax.jit, static_argnums=(0, 3))
def _predict_logits(apply, variables, images, part_by_part):
    def logits(images):
        return apply(variables, normalise(images), train=False).astype(jnp.float32)

    def in_parts(images):
        parts = images.reshape(-1, PART, *images.shape[1:])
        return jax.lax.map(logits, parts).reshape(len(images), -1)

    if not part_by_part:
        return logits(images)
    return jax.lax.platform_dependent(images, cpu=in_parts, default=logits)


@settings()
def prediction_digest(model: nn.Module, image_shape: Sequence[int]) -> str | None:
    """A digest of what a network computes when it predicts images (h, w, c), on whatever device: see `lowered.digest`.

    It does not depend on the weights, which are arguments of the program. None: the network computes only on one kind
    of accelerator, so that it has no program that all devices share.
    """
    image = jax.ShapeDtypeStruct((1, *image_shape), np.uint8)
    traced = _predict_logits.trace(model.clone().apply, variable_shapes(model, image_shape), image, False)
    try:
        return digest(traced.lower(lowering_platforms=("cpu",)))
    except Exception:  # what JAX raises depends on the operation
        return None


def arguments(model: nn.Module) -> dict[str, Any]:
    """The arguments from which `network_of` makes the same network again, as JSON values.

    An argument that JSON cannot hold is left out if it has its default value. Raises `InputError` if it has another.
    """
    found = {}
    for field in dataclasses.fields(model):
        if field.name in ("parent", "name") or not field.init:
            continue
        value = _plain(getattr(model, field.name))
        if _is_json(value):
            found[field.name] = json.loads(json.dumps(value))
        elif not _is_default(getattr(model, field.name), field):
            raise InputError(
                f"{type(model).__name__}.{field.name} must be a number, a text, True, False, None or a list of them to "
                f"be stored, got {value!r}"
            )
    return found


def _is_default(value, field):
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return value is field.default


def settings_of(model: nn.Module) -> dict[str, Any]:
    """The arguments of a network, to be shown and compared: those that JSON cannot hold as text."""
    return {
        field.name: value if _is_json(value := _plain(getattr(model, field.name))) else described(value)
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name") and field.init
    }


def described(value: Any, depth: int = 3) -> str:
    """The name of a function or class, or the text of another object, without addresses in memory.

    An object whose class does not define its text is told by its attributes, and objects among these likewise, down to
    this depth. Functions of one name are not told apart: see `training.program` for what they compute.
    """
    told = partial(described, depth=depth - 1)
    if name := getattr(value, "__qualname__", None):
        return name
    if isinstance(value, partial) and depth > 0:
        parts = [*map(told, value.args), *(f"{name}={told(each)}" for name, each in value.keywords.items())]
        return f"partial({', '.join([told(value.func), *parts])})"
    if type(value).__repr__ is object.__repr__:
        attributes = getattr(value, "__dict__", {}) if depth > 0 else {}
        parts = [f"{name}={told(each)}" for name, each in attributes.items()]
        return f"{type(value).__qualname__}({', '.join(parts)})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _is_json(value):
    """Whether JSON gives a `_plain` value back, in its type: not as the text or number that an Enum equals."""
    if isinstance(value, dict):
        return all(type(name) is str and _is_json(each) for name, each in value.items())
    if isinstance(value, tuple):
        return all(map(_is_json, value))
    return type(value) in (str, int, bool, NoneType) or (type(value) is float and math.isfinite(value))


def network_of(kind: type[nn.Module], stored: dict[str, Any]) -> nn.Module:
    """A network from its class and the result of `arguments`. Raises `InputError` where it does not take them."""
    if {"parent", "name"} & stored.keys():
        raise InputError(f"{kind.__name__} must be described without parent and name: they are Flax' own")
    try:
        return kind(**{name: _hashable(value) for name, value in stored.items()})
    except InputError:
        raise
    except Exception as error:  # whatever a network raises is about the network
        raise InputError(f"{kind.__name__} does not take the arguments {listed([*stored])}: {error}") from error


def _hashable(value):
    """JSON's lists as tuples, and its objects as `FrozenDict`, again: a network must be hashable."""
    if isinstance(value, Mapping):
        return FrozenDict({name: _hashable(each) for name, each in value.items()})
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _plain(value):
    """A value with dictionaries in place of `FrozenDict`, tuples of lists, and Python's numbers of numpy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def splits_batches(model: nn.Module) -> bool:
    """Whether the network's own class, not a base class, sets `SPLITS_BATCHES`: see `Network`."""
    return vars(type(model)).get("SPLITS_BATCHES", False)


class Network(nn.Module):
    """The base class of the library's own networks; its methods call the functions of this module.

    A class that sets `SPLITS_BATCHES = True` in its own body promises two things, so that devices can each compute a
    part of a batch. Its `__call__` takes `axis_name`, the axis of these devices, and normalises by the statistics of
    the whole batch. In evaluation mode, the logits of an image do not depend on other images. A subclass does not
    inherit the promise, because it may compute something else.
    """

    def initialise(self, seed: int, image_shape: Sequence[int]) -> dict[str, Any]:
        """The fresh variables for images (h, w, c): see `initialise`."""
        return initialise(self, seed, image_shape)

    def variable_shapes(self, image_shape: Sequence[int]) -> dict[str, Any]:
        """Shapes and types of the variables for images (h, w, c): see `variable_shapes`."""
        return variable_shapes(self, image_shape)

    def summary(self, image_shape: Sequence[int]) -> str:
        """A printable table of the layers for images (h, w, c): see `summary`."""
        return summary(self, image_shape)


def _times(shape):
    return "x".join(map(str, shape)) or "-"


def _count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
