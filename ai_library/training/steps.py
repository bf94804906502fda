"""Runs the steps of an epoch: batch by batch, or many in one program whose examples are on the device."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jax.sharding import NamedSharding

from ..data.examples import DeviceExamples
from ..data.shuffling import shuffled
from ..data.source import DataSource
from ..runtime import distributed
from ..runtime.jax_settings import settings
from .step import TrainState, train_step

Taken = tuple[TrainState, dict[str, jax.Array]]

_VALUES = 2**27
"""Most pixels times channels in one program: about a second on a GPU, during which a signal or a checkpoint has to
wait."""


@settings()
def train_steps(state: TrainState, examples: DeviceExamples, indices: np.ndarray | jax.Array) -> Taken:
    """Takes k steps in one program; equal to k calls of `train_step`.

    Args:
        state: From `create_train_state` or the step before, on one device. It cannot be used afterwards.
        examples: The result of `DataSource.device_examples`.
        indices: (k, b) integers, the examples of each step.

    Returns:
        The new state, and the metrics of `train_step` as arrays (k,).
    """
    return _train_steps(state, examples.data, indices.astype(np.uint32), examples.fetch)


@partial(jax.jit, static_argnames="fetch", donate_argnames="state")
def _train_steps(state, data, indices, fetch):
    return jax.lax.scan(lambda state, batch: train_step(state, *fetch(data, batch)), state, indices)


class Steps:
    """The steps of a run on the "train" split of a source.

    A single process with one accelerator takes many steps in one program, if the source supports it (see
    `DataSource.device_examples`).

    Args:
        source: The data source.
        batch_size: Examples per step, over all processes.
        sharding: The sharding of a batch: the second of `distributed.batch_shardings`.
    """

    def __init__(self, source: DataSource, batch_size: int, sharding: NamedSharding):
        self._source, self._batch_size, self._sharding = source, batch_size, sharding
        self._examples = source.device_examples("train") if _alone_on_accelerator(sharding) else None

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[int, Callable[[TrainState], Taken]]]:
        """Yields (number of steps, function that takes them) for an epoch, from step `first` on."""
        if self._examples is None:
            part = distributed.process_index(), distributed.process_count()
            for batch in self._source.batches("train", self._batch_size, epoch, first=first, full=True, part=part):
                yield 1, partial(self._take_one, batch)
            return
        size, b = self._source.size("train"), self._batch_size
        per_epoch = -(-size // b)
        at_a_time = _at_a_time(per_epoch, b * math.prod(self._source.image_shape))
        for start in range(first, per_epoch, at_a_time):
            end = min(start + at_a_time, per_epoch)
            order = shuffled(np.arange(start * b, end * b) % size, size, (self._source.seed, epoch))
            yield end - start, partial(train_steps, examples=self._examples, indices=order.reshape(-1, b))

    def _take_one(self, batch, state):
        return train_step(state, *distributed.place(batch, self._sharding))


def _alone_on_accelerator(sharding):
    devices = sharding.mesh.devices.flat
    return distributed.process_count() == 1 and len(devices) == 1 and devices[0].platform != "cpu"


def _at_a_time(per_epoch, values):
    """Number of steps per program: if possible a divisor of the epoch's, since each number compiles its own program."""
    programs = min(per_epoch, -(-per_epoch * values // _VALUES))
    return -(-per_epoch // programs)
