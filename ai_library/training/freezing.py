"""Frozen layers: those that a training does not change."""

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
from flax.core.tracers import current_trace
from flax.traverse_util import unflatten_dict

from ..errors import InputError
from ..files.text import listed
from ..networks.transfer import Names, Transfer, flat, layers


@dataclass(frozen=True)
class Frozen:
    """The layers of a network that are not trained.

    Attributes:
        layers: The paths of their modules.
        variables: The paths of their parameters and of their state, such as BatchNorm's statistics.
    """

    layers: frozenset[Names] = frozenset()
    variables: frozenset[Names] = frozenset()

    @classmethod
    def first(cls, model: nn.Module, image_shape: Sequence[int], number: int) -> "Frozen":
        """Returns the first `number` layers, in the order of the network's call and of its summary.

        Raises `InputError` if no layer would be left to train.
        """
        if not number:
            return cls()
        found = layers(model, image_shape)
        if number >= len(found):
            raise InputError(f"freeze must be from 0 to {max(len(found) - 1, 0)}, since {_of(found)}; got {number}")
        chosen = [*found][:number]
        return cls(frozenset(chosen), frozenset(path for layer in chosen for path in found[layer]))

    def trained(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters that are trained."""
        if not self.variables:
            return params
        own = flat(params)
        return unflatten_dict({path: leaf for path, leaf in own.items() if ("params", *path) not in self.variables})

    def completed(self, trained: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """The trained parameters, completed by the frozen ones in `params`."""
        return unflatten_dict({**flat(params), **flat(trained)}) if self.variables else trained

    def kept(self, variables: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        """The variables with the frozen ones taken from `before`."""
        if not self.variables:
            return variables
        old = flat(before)
        return unflatten_dict({**flat(variables), **{path: old[path] for path in self.variables}})

    @contextlib.contextmanager
    def predicting(self, predict: Callable[[], object]) -> Iterator[None]:
        """Within the block, frozen layers return the outputs that they have in `predict`.

        `predict` calls the network in evaluation mode on the same images. So BatchNorm normalises by its running
        statistics and does not update them.
        """
        if not self.layers:
            yield
            return
        outputs, outside, within = defaultdict(deque), current_trace(), False

        def record(call, args, kwargs, context):
            nonlocal within
            frozen = context.module.path in self.layers and context.method_name != "setup"
            if within or not frozen:  # calls inside a frozen layer are part of its output
                return call(*args, **kwargs)
            if current_trace() != outside:
                raise InputError(
                    "freeze must leave out layers within nn.remat, nn.scan or nn.jit, such as "
                    f"{'/'.join(context.module.path)}"
                )
            within = True
            try:
                output = call(*args, **kwargs)
            finally:
                within = False
            outputs[context.module.path, context.method_name].append(output)
            return output

        def replay(call, args, kwargs, context):
            known = outputs.get((context.module.path, context.method_name))
            return known.popleft() if known else call(*args, **kwargs)

        with nn.intercept_methods(record):
            predict()
        with nn.intercept_methods(replay):
            yield


def check_beginning(model: nn.Module, image_shape: Sequence[int], number: int, transfer: Transfer | None) -> None:
    """Checks that a network takes over some arrays, and all of the first `number` layers, which are to be frozen.

    Raises `InputError` if it does not, or has fewer layers.
    """
    frozen = Frozen.first(model, image_shape, number)
    if transfer is None:
        return
    if not transfer.arrays:
        raise InputError("initial must share weights with the network, but no array has the same name and shape")
    if anew := frozen.layers & {*transfer.anew}:
        names = listed(sorted("/".join(path) for path in anew))
        raise InputError(
            f"freeze={number} must leave out layers that the initial classifier lacks or has in other shapes, such as "
            f"{names}: freeze fewer, or take images of its size and channels"
        )


def _of(found):
    names = ["/".join(path) or "the network itself" for path in found]
    if not names:
        return "the network has nothing to train"
    return f"the last of the network's layers, number {len(names)}, {names[-1]}, has to be trained"
