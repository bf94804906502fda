"""Transfer learning: which arrays a network takes over from a trained one, and the order of its layers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ..data.class_names import nfc
from ..files.text import listed
from .classifier import Classifier
from .initial import variable_shapes

Names = tuple[str, ...]
"""A path in the variables, such as ("params", "Conv_0", "kernel"), or the path of a module."""
_COLOURS = 3


def flat(variables: Mapping[str, Any]) -> dict[Names, Any]:
    """The arrays of nested dictionaries by their paths."""
    return cast(dict[Names, Any], flatten_dict(variables))


def layers(model: nn.Module, image_shape: Sequence[int]) -> dict[Names, tuple[Names, ...]]:
    """The modules with variables of their own, each with the paths of these variables.

    They are in the order in which their calls end.
    """
    done: dict[Names, tuple[Names, ...]] = {}

    def record(call, args, kwargs, context):
        output = call(*args, **kwargs)
        if context.method_name != "setup":
            done.pop(context.module.path, None)  # one that is called again is done later
            done[context.module.path] = ()
        return output

    with nn.intercept_methods(record):
        variables = flat(variable_shapes(model, image_shape))
    for path in variables:
        inside = path[1:]
        owner = next(inside[:size] for size in range(len(inside), -1, -1) if inside[:size] in done)
        done[owner] += (path,)
    return {path: own for path, own in done.items() if own}


@dataclass(frozen=True)
class Transfer:
    """The arrays that a network takes over from a trained one. Its text says which, and which are initialised.

    Attributes:
        arrays: The arrays that are taken over, by their paths.
        adapted: Names of the layers whose kernels are adapted to another number of image channels.
        anew: Modules with an array that is initialised instead.
        total: Number of arrays of the network.
        keeps_head: Whether the class names differ, not their number, and the network has no `num_classes` that tells
            which arrays depend on them, so that the last layer is taken over.
    """

    arrays: Mapping[Names, np.ndarray]
    adapted: tuple[str, ...]
    anew: tuple[Names, ...]
    total: int
    keeps_head: bool = False

    def into(self, fresh: dict[str, Any]) -> dict[str, Any]:
        """The initial variables with the arrays that are taken over put in their places."""
        own = flat(fresh)
        return unflatten_dict({**own, **{path: leaf.astype(own[path].dtype) for path, leaf in self.arrays.items()}})

    def __str__(self) -> str:
        adapted = f", for other channels {listed(self.adapted)}" if self.adapted else ""
        anew = f"; {listed(['/'.join(path) for path in self.anew])} anew" if self.anew else ""
        kept = "; its classes have other names, but without a field num_classes no layer is made anew for them"
        told = f"{len(self.arrays)} of {self.total} arrays of the initial classifier{adapted}{anew}"
        return told + kept * self.keeps_head


def transfer(
    model: nn.Module, image_shape: Sequence[int], class_names: tuple[str, ...], initial: Classifier
) -> Transfer:
    """Returns the arrays of a classifier that have the same path and shape in a network for these images and classes.

    If the class names differ, the arrays whose shapes depend on `num_classes` are initialised instead. Between
    grey and RGB images the first kernels are adapted: a grey image stored as RGB gives the same outputs as in grey.
    """
    shapes = flat(variable_shapes(model, image_shape))
    same_classes = [*map(nfc, initial.class_names)] == [*map(nfc, class_names)]
    head = set() if same_classes else _dependent_on_classes(model, image_shape, shapes)
    old_channels, channels = initial.image_shape[-1], image_shape[-1]
    taken, adapted = {}, set()
    for path, leaf in flat(initial.variables).items():
        if path not in shapes or path in head:
            continue
        wanted, leaf = shapes[path].shape, np.asarray(leaf)
        if leaf.shape == wanted:
            taken[path] = leaf
        elif (fitted := _for_channels(leaf, old_channels, channels)) is not None and fitted.shape == wanted:
            taken[path] = fitted
            adapted.add("/".join(path[1:-1]))
    anew = tuple(name for name, own in layers(model, image_shape).items() if not taken.keys() >= {*own})
    as_many = len(initial.class_names) == len(class_names)
    keeps_head = as_many and not same_classes and not _has_num_classes(model)
    return Transfer(taken, tuple(sorted(adapted)), anew, len(shapes), keeps_head)


def _for_channels(kernel, old, new):
    """Adapts a kernel (..., i, o) whose inputs i end in the image's channels from grey to RGB or back; else None."""
    if kernel.ndim < 2 or {old, new} != {1, _COLOURS} or kernel.shape[-2] % old:
        return None
    if old == 1:
        return np.repeat(kernel, _COLOURS, axis=-2) / _COLOURS
    return kernel.reshape(*kernel.shape[:-2], -1, _COLOURS, kernel.shape[-1]).sum(axis=-2)


def _dependent_on_classes(model, image_shape, shapes):
    """The paths of the arrays whose shapes depend on `num_classes`, where the network has that argument."""
    if not _has_num_classes(model):
        return set()
    other = flat(variable_shapes(model.clone(num_classes=model.num_classes + 1), image_shape))
    return {path for path, leaf in shapes.items() if path not in other or other[path].shape != leaf.shape}


def _has_num_classes(model):
    return "num_classes" in {field.name for field in fields(model)}


def digest(variables: dict[str, Any]) -> str:
    """A digest of variables: their names, types, shapes and values."""
    found = hashlib.sha256()
    for path, leaf in sorted(flat(variables).items()):
        leaf = np.ascontiguousarray(leaf)
        found.update(f"{'/'.join(path)} {leaf.dtype} {leaf.shape}".encode())
        found.update(leaf.reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:16]
