"""How a run takes its steps: batch by batch, or many in one program that takes its examples from the device itself."""

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
"""Pixels, times channels, that one program trains on at most: about a second of a GPU's time, in which no signal is
heard and no checkpoint is written."""


@settings()
def train_steps(state: TrainState, examples: DeviceExamples, indices: np.ndarray | jax.Array) -> Taken:
    """Several steps as one program: what `train_step` gives for the examples of each row of indices in turn.

    Args:
        state: From `create_train_state` or the step before; it is used up. On one device.
        examples: From the `device_examples` of a source.
        indices: (k, b) of the examples of k steps.

    Returns:
        The new state and the metrics of `train_step`, each (k,).
    """
    return _train_steps(state, examples.data, indices.astype(np.uint32), examples.fetch)


@partial(jax.jit, static_argnames="fetch", donate_argnames="state")
def _train_steps(state, data, indices, fetch):
    return jax.lax.scan(lambda state, batch: train_step(state, *fetch(data, batch)), state, indices)


class Steps:
    """The steps of a run on the "train" split of a source.

    One process with one GPU or other accelerator takes as many as it can at a time, where the source allows it (see
    `DataSource.device_examples`).

    Args:
        source: Where the examples come from.
        batch_size: Examples of a step, in all processes together.
        sharding: Where a batch goes: the second of `distributed.batch_shardings`.
    """

    def __init__(self, source: DataSource, batch_size: int, sharding: NamedSharding):
        self._source, self._batch_size, self._sharding = source, batch_size, sharding
        self._examples = source.device_examples("train") if _alone_on_accelerator(sharding) else None

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[int, Callable[[TrainState], Taken]]]:
        """Yields how many steps come next, and what takes them, from step `first` of an epoch on."""
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
    """How many steps one program takes: an equal part of an epoch, if possible, since each number is compiled anew."""
    programs = min(per_epoch, -(-per_epoch * values // _VALUES))
    return -(-per_epoch // programs)
