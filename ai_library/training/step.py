"""One step of training: its configuration, its state, and the pure `train_step`. The run is in `trainer.py`."""

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import flax.struct
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec as P

from ..data.augmentation import Augmentation
from ..errors import InputError, whole_number
from ..networks.cnn import normalise
from ..runtime import distributed
from ..runtime.distributed import BATCH

_MOST = 2**31 - 1  # that JAX counts in an int32


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a training run is made of, beside its model and its data. Raises `InputError` for values that don't fit."""

    epochs: int = 1
    batch_size: int = 64
    """Images of one step. Small batches stay in a CPU's cache and take more, and so fewer epochs, steps."""
    learning_rate: float = 4e-3
    """The highest, which the schedule reaches after `warmup` and leaves in a cosine to nearly 0."""
    warmup: float = 0.25
    """Share of the steps before the highest learning rate."""
    label_smoothing: float = 0.0
    """Share of a label that is spread evenly over all classes."""
    ema_decay: float = 0.0
    """Share of the running mean of the weights that a step keeps; that mean predicts. 0: the weights themselves do."""
    augmentation: Augmentation = Augmentation()
    """How training images are changed; validation and evaluation images never are."""
    final_augmentation: float = 1.0
    """Share of it that is left at the last step. It falls from the middle of the run on, so that the network ends on
    images that are nearly those it will meet."""
    seed: int = 0
    """Of the initial weights and of the augmentation."""

    def __post_init__(self):
        whole = {"epochs": (1, _MOST), "batch_size": (1, _MOST), "seed": (0, 2**32 - 1)}
        for name, bounds in whole.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), *bounds))
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate={self.learning_rate} does not fit: it needs to be above 0 and finite")
        if not 0 < self.warmup < 1:
            raise InputError(f"warmup={self.warmup} does not fit: it needs to be between 0 and 1")
        for name in ("label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} does not fit: it needs to be from 0 to below 1")
        if not 0 <= self.final_augmentation <= 1:
            raise InputError(f"final_augmentation={self.final_augmentation} does not fit: it needs to be from 0 to 1")

    def schedule(self, steps: int) -> optax.Schedule:
        """The learning rate at each of the run's steps: up and down once (Smith, arXiv:1803.09820)."""
        return optax.cosine_onecycle_schedule(steps, self.learning_rate, self.warmup, div_factor=10)


class TrainState(flax.training.train_state.TrainState):
    """Step, parameters, optimizer state, BatchNorm's running statistics, and the running mean of the weights."""

    batch_stats: Any
    mean: Any
    """Running mean of `params` and `batch_stats`; None where the configuration has no `ema_decay`."""
    config: TrainConfig = flax.struct.field(pytree_node=False)
    steps: int = flax.struct.field(pytree_node=False)
    """Of the whole run."""

    @property
    def variables(self):
        """What the network predicts with."""
        return self.mean or {"params": self.params, "batch_stats": self.batch_stats}


def create_train_state(model, image_shape, config: TrainConfig, steps: int) -> TrainState:
    """The state before the first of `steps` steps on images (h, w, c)."""
    return _state_of(model.initialise(config.seed, image_shape), model, config, steps)


@partial(jax.jit, static_argnames=("model", "config", "steps"))  # else each shape of its arrays would be compiled alone
def _state_of(variables, model, config, steps):
    state = TrainState.create(
        apply_fn=model.apply,
        tx=_optimizer(config, steps),
        mean=jax.tree.map(jnp.copy, variables) if config.ema_decay else None,
        config=config,
        steps=steps,
        **variables,
    )
    return state.replace(step=jnp.zeros((), jnp.int32))  # as every later step has it: one type, one compilation


@lru_cache
def _optimizer(config, steps):
    """The same object for the same run: `train_step` is then not compiled again for it."""
    return optax.adam(config.schedule(steps))


def train_step(state: TrainState, images, labels):
    """One step of Adam on the mean cross-entropy of a batch: images (b, h, w, c) uint8, labels (b,) int32.

    Returns the new state and {"loss": their mean loss, "correct": how many were predicted right, "learning_rate": that
    of the step}, the first two as they were before it. The state that is passed in is used up. Each device works on an
    equal share of the batch; gradients and BatchNorm's statistics are those of the whole batch.

    Raises `InputError` for images or labels of another shape or type, and for labels in numpy that are none of the
    classes. Looking at labels on a device would wait for it: with such a label among them the loss is no number.
    """
    _check_batch(images, labels, state.apply_fn.__self__.num_classes)
    return _train_step(state, images, labels)


def _check_batch(images, labels, classes):
    if _type_and_dimensions(images) != (np.uint8, 4):
        raise InputError(f"images must be an array of uint8 (b, h, w, c), got {_described(images)}")
    dtype, _ = _type_and_dimensions(labels)
    if not np.issubdtype(dtype, np.integer) or labels.shape != images.shape[:1]:
        raise InputError(
            f"labels must be an array of integers ({images.shape[0]},), one for each image, got {_described(labels)}"
        )
    if isinstance(labels, np.ndarray) and len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def _type_and_dimensions(array):
    return getattr(array, "dtype", None), getattr(array, "ndim", None)


def _described(array):
    return f"{array.dtype}{tuple(array.shape)}" if hasattr(array, "shape") else f"a {type(array).__name__}"


@partial(jax.jit, donate_argnames="state")
def _train_step(state, images, labels):
    mesh = distributed.batch_shardings(len(images))[1].mesh
    keys = jax.random.split(jax.random.fold_in(jax.random.key(state.config.seed), state.step), len(images))
    shares = (P(), P(BATCH), P(BATCH), P(BATCH))
    step = jax.shard_map(_step_of_share, mesh=mesh, in_specs=shares, out_specs=P(), check_vma=False)
    return step(state, images, labels, keys)


def _step_of_share(state, images, labels, keys):
    """`train_step` on one device, which has a share of the batch: what is summed over the axis `BATCH` is of all."""
    config = state.config
    strength = jnp.interp(state.step / state.steps, jnp.array([0.5, 1.0]), jnp.array([1.0, config.final_augmentation]))
    inputs = config.augmentation(keys, normalise(images), strength)

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(variables, inputs, train=True, axis_name=BATCH, mutable=["batch_stats"])
        loss = _cross_entropy(logits, labels, config.label_smoothing) / jax.lax.axis_size(BATCH)
        loss = jnp.where(((labels >= 0) & (labels < logits.shape[-1])).all(), loss, jnp.nan)
        return loss, (logits, updates["batch_stats"])

    (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    correct = (logits.argmax(axis=-1) == labels).sum()
    flat, unravel = ravel_pytree((gradients, loss, correct))
    gradients, loss, correct = unravel(jax.lax.psum(flat, BATCH))  # at once: each sum over devices takes its time
    new = state.apply_gradients(grads=gradients, batch_stats=batch_stats)
    if state.mean is not None:
        keep = jnp.minimum(config.ema_decay, (1 + new.step) / (10 + new.step))  # forgets the first weights soon
        now = {"params": new.params, "batch_stats": batch_stats}
        new = new.replace(mean=jax.tree.map(lambda mean, value: keep * mean + (1 - keep) * value, state.mean, now))
    return new, {"loss": loss, "correct": correct, "learning_rate": config.schedule(state.steps)(state.step)}


def _cross_entropy(logits, labels, smoothing):
    if not smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets).mean()
