"""One step of training: its state, and the pure function `train_step`. The run is in `trainer.py`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import flax.linen as nn
import flax.struct
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import ArrayLike

from ..data.augmentation import Augmentation
from ..errors import InputError
from ..networks.initial import apply_function, for_run, initial_variables
from ..networks.network import check_module, errors_named, normalise, splits_batches
from ..runtime import distributed
from ..runtime.distributed import BATCH
from ..runtime.jax_settings import random_key, settings
from .batch_check import check_batch
from .config import TrainConfig
from .freezing import Frozen
from .losses import CrossEntropy, weights_of
from .optimizers import OneCycle, Optimizer, ScheduledState, scheduled
from .own_function import of_run

Loss = Callable[[jax.Array, jax.Array], jax.Array]


class TrainState(flax.training.train_state.TrainState):
    """Flax's `TrainState` (step, parameters, optimizer and its state) with everything else that a step needs.

    The seed and the learning rate schedule are arrays of it, so that runs that differ in them share one compiled step.

    >>> state = create_train_state(network, image_shape=(16, 16, 1), config=config, steps=2)
    >>> int(state.step), state.num_classes
    (0, 2)

    Attributes:
        model_state: The collections of the network's state, such as "batch_stats"; empty if it has none.
        ema_variables: Exponential moving average of the variables; None without one.
        seed: Seed of the augmentation and dropout.
        class_weights: (classes,) float32; None: all are 1.
        num_classes: Number of classes, and so of logits.
        loss: Function of logits (b, classes) and labels (b,) to losses (b,).
        augmentation: Random changes to training images.
        final_augmentation: Strength of the augmentation at the last step, as a fraction.
        ema_decay: Decay of the moving average.
        splits_batches: Whether each device may compute its part of a batch alone: see `networks.network.Network`.
        precision: Type in which the network computes; variables and updates are float32.
        frozen: The layers that are not trained; the optimizer has no state for them.
    """

    model_state: dict[str, Any]
    ema_variables: dict[str, Any] | None
    seed: jax.Array
    class_weights: jax.Array | None
    num_classes: int = flax.struct.field(pytree_node=False)
    loss: Loss = flax.struct.field(pytree_node=False)
    augmentation: Augmentation = flax.struct.field(pytree_node=False)
    final_augmentation: float = flax.struct.field(pytree_node=False)
    ema_decay: float = flax.struct.field(pytree_node=False)
    splits_batches: bool = flax.struct.field(pytree_node=False)
    precision: str = flax.struct.field(pytree_node=False)
    frozen: Frozen = flax.struct.field(pytree_node=False)

    @property
    def schedule(self) -> OneCycle:
        """The learning rate at each step."""
        return self._scheduled.schedule

    def with_schedule(self, schedule: OneCycle) -> "TrainState":
        """The same state with another learning rate schedule."""
        return self.replace(opt_state=self._scheduled._replace(schedule=schedule))

    @property
    def _scheduled(self):
        return cast(ScheduledState, self.opt_state)  # which `scheduled` made

    @property
    def current_variables(self) -> dict[str, Any]:
        """The variables of the last step: "params" and the collections of the network's state."""
        return {"params": self.params, **self.model_state}

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to predict with: the moving average if there is one, else the `current_variables`."""
        return self.ema_variables or self.current_variables


@settings()
def create_train_state(
    model: nn.Module,
    image_shape: Sequence[int],
    config: TrainConfig,
    steps: int,
    *,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    class_weights: ArrayLike | None = None,
    variables: dict[str, Any] | None = None,
) -> TrainState:
    """Makes the state before the first step of a run.

    Runs share compiled steps. An `optimizer` or `loss` of your own is traced anew for each state, because what it reads
    may have changed; so is a network of your own where it computes something else than before.

    >>> state = create_train_state(network, image_shape=(16, 16, 1), config=config, steps=2)
    >>> state.params["Dense_0"]["kernel"].shape
    (256, 2)

    Args:
        model: Any linen module that takes images (b, h, w, c) float32 in [-1, 1] and `train`, and returns logits
            (b, classes).
        image_shape: (h, w, c) of the images.
        config: The settings of the training.
        steps: Number of steps of the run, for the schedule.
        optimizer: A function from a schedule to an optax transformation, in place of `config.optimizer`.
        loss: A function of logits (b, classes) and labels (b,) of the whole batch to losses (b,), in place of the
            cross-entropy with `config.label_smoothing`.
        class_weights: (classes,) float, in place of `config.class_weights`, which must not be "balanced" here.
        variables: Initial variables, in place of random ones.

    Raises:
        InputError: The network cannot be called, or not be hashed; the optimizer cannot be initialised with these
            parameters; `config.freeze` leaves no layer to train; or there is not one class weight for each class.
    """
    check_module(model)
    model = for_run(model, image_shape)
    settings = {
        "optimizer": of_run(optimizer or config.make_optimizer()),
        "clip_norm": config.clip_norm,
        "loss": of_run(loss or CrossEntropy(config.label_smoothing)),
        "augmentation": config.augmentation,
        "final_augmentation": config.final_augmentation,
        "ema_decay": config.ema_decay,
        "precision": config.precision,
        "frozen": Frozen.first(model, image_shape, config.freeze),
    }
    arrays = (
        variables or initial_variables(model, config.seed, image_shape),
        OneCycle.of(config.learning_rate, config.warmup, steps),
        np.uint32(config.seed),
        weights_of(config.class_weights if class_weights is None else class_weights),
    )
    try:
        return _state_of(*arrays, apply_function(model), tuple(image_shape), tuple(settings.items()))
    except InputError:
        raise
    except Exception as error:  # whatever an optimizer raises is about it
        name = config.optimizer if optimizer is None else getattr(optimizer, "__name__", optimizer)
        raise InputError(f"the optimizer {name} cannot begin: {_first_line(error)}") from error


@partial(jax.jit, static_argnums=(4, 5, 6))  # else each array would be compiled separately
def _state_of(variables, schedule, seed, class_weights, apply, image_shape, settings):
    settings, model = dict(settings), apply.__self__
    tx = scheduled(settings.pop("optimizer"), settings.pop("clip_norm"))
    images = jnp.zeros((1, *image_shape), jnp.float32)
    with errors_named(model, image_shape, train=False):
        logits = jax.eval_shape(partial(apply, train=False), variables, images)
    num_classes = logits.shape[-1]
    if class_weights is not None and class_weights.shape != (num_classes,):
        raise InputError(
            f"class_weights must be a weight for each of {num_classes} classes, ({num_classes},), "
            f"got {class_weights.shape}"
        )
    params = variables.get("params", {})
    state = TrainState(
        step=jnp.zeros((), jnp.int32),  # as every later one has it: one type, one compilation
        apply_fn=apply,
        params=params,
        tx=tx,
        opt_state=tx.init(settings["frozen"].trained(params)),
        model_state={name: collection for name, collection in variables.items() if name != "params"},
        ema_variables=jax.tree.map(jnp.copy, variables) if settings["ema_decay"] else None,
        seed=seed,
        class_weights=class_weights,
        num_classes=num_classes,
        splits_batches=splits_batches(model),
        **settings,
    )
    return state.with_schedule(schedule)


@settings()
def train_step(
    state: TrainState, images: np.ndarray | jax.Array, labels: np.ndarray | jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one optimizer step on the mean loss of a batch. It is pure and jitted, and donates the buffers of `state`.

    Each device computes an equal part of the batch; gradients and BatchNorm's statistics are those of the whole batch.

    >>> state = create_train_state(network, image_shape=(16, 16, 1), config=config, steps=2)
    >>> for images, labels in source.batches("train", batch_size=32, epoch=0):
    ...     state, metrics = train_step(state, images, labels)
    >>> int(state.step), sorted(metrics)
    (2, ['correct', 'learning_rate', 'loss'])

    Args:
        state: From `create_train_state` or the step before. It cannot be used afterwards.
        images: (b, h, w, c) uint8.
        labels: (b,) of any integer type, from 0 to classes - 1.

    Returns:
        The new state and the metrics of the batch before the update, as arrays (): "loss", the mean loss; "correct",
        the number of right predictions; and "learning_rate", that of the step.

    Raises:
        InputError: Images or labels have another shape or type, or a label in a numpy array is not a class. Labels on a
            device are not checked, which would wait for it: a label that is not a class makes the loss nan.
    """
    if getattr(labels, "dtype", None) in (np.int64, np.uint64) and not isinstance(labels, Tracer):
        labels = np.asarray(labels)  # a program with x64 may pass int64: checked below, before the cast
    check_batch(images, labels, state.num_classes)
    return _train_step(state, images, labels.astype(np.int32))


@settings()
def check_step(
    state: TrainState, image_shape: Sequence[int], batch_size: int, sharding: NamedSharding | None = None
) -> jax.stages.Traced:
    """Returns the trace of a step, which serves all batches with this size and sharding. Nothing is computed.

    Raises `InputError` if a step on such a batch fails, or returns a state with other shapes or types. For example, an
    optimizer may need more than gradients, or a loss may raise an error.
    """
    images = jax.ShapeDtypeStruct((batch_size, *image_shape), np.uint8, sharding=sharding)
    labels = jax.ShapeDtypeStruct((batch_size,), np.int32, sharding=sharding)
    try:
        traced = _train_step.trace(state, images, labels)
    except InputError:
        raise
    except Exception as error:  # whatever the user's own functions raise is about them
        raise InputError(
            f"a training step cannot be taken with this network, optimizer and loss: {_first_line(error)}"
        ) from error
    old, new = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (state, traced.out_info[0]))
    if old != new:
        raise InputError("a training step must leave the shapes and types of the network's and the optimizer's state")
    return traced


def _first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


@partial(jax.jit, donate_argnames="state")
def _train_step(state, images, labels):
    mesh = distributed.batch_shardings(images.shape[0])[1].mesh
    key = jax.random.fold_in(random_key(state.seed), state.step)
    keys = jax.random.split(key, images.shape[0])
    if mesh.size == 1:
        return _step(state, images, labels, keys, key)
    if state.splits_batches:
        parts = (P(), P(BATCH), P(BATCH), P(BATCH), P())
        step = jax.shard_map(partial(_step, axis=BATCH), mesh=mesh, in_specs=parts, out_specs=P(), check_vma=False)
        return step(state, images, labels, keys, key)
    # The program is written for the whole batch and divided by XLA, which is right for any network.
    whole, parts = (NamedSharding(mesh, spec) for spec in (P(), P(BATCH)))
    images, labels, keys = jax.lax.with_sharding_constraint((images, labels, keys), parts)
    return jax.lax.with_sharding_constraint(_step(state, images, labels, keys, key), whole)


def _step(state, images, labels, keys, key, axis=None):
    """`train_step` on a batch, or on one device's part of it, with sums over the devices of the `axis`."""
    fade = jnp.interp(
        state.step / state.schedule.steps, jnp.array([0.5, 1.0]), jnp.array([1.0, state.final_augmentation])
    )
    inputs = state.augmentation(keys, normalise(images), fade)
    parts = jax.lax.axis_size(axis) if axis else 1

    def loss_of(trained):
        params = state.frozen.completed(trained, state.params)
        logits, model_state = _apply(state, params, inputs, key, axis)
        whole = logits, labels
        if axis and type(state.loss) is not CrossEntropy:  # a loss of the user's own may depend on the whole batch
            whole = jax.lax.all_gather(whole, axis, tiled=True)
        return _mean_loss(state, *whole) / parts, (logits, model_state)

    (loss, (logits, model_state)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        state.frozen.trained(state.params)
    )
    correct = (logits.argmax(axis=-1) == labels).sum()
    if axis:
        flat, unravel = ravel_pytree((gradients, loss, correct))
        gradients, loss, correct = unravel(jax.lax.psum(flat, axis))  # one all-reduce instead of one per array
    return _updated(state, gradients, loss, model_state), {
        "loss": loss,
        "correct": correct,
        "learning_rate": state.schedule(state.step),
    }


def _apply(state, params, inputs, key, axis):
    """The logits of the network in training mode, float32 or wider, and the new collections of its state."""
    more = {"axis_name": axis} if axis else {}
    params, inputs = _cast((params, inputs), state.precision)
    variables = {"params": params, **state.model_state}
    with state.frozen.predicting(partial(state.apply_fn, variables, inputs, train=False)):
        logits, updates = state.apply_fn(
            variables,
            inputs,
            train=True,
            rngs={"dropout": jax.random.fold_in(key, 2**31)},  # far from the keys of the images
            mutable=list(state.model_state),
            **more,
        )
    if state.precision != "float32":  # a network may store activations in its state
        kept = {name: state.model_state[name] for name in updates}
        updates = jax.tree.map(lambda new, old: new.astype(old.dtype), updates, kept)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), {**state.model_state, **updates}


def _cast(tree, precision):
    """Casts the float32 arrays of a tree; arrays of another type, which the network chose itself, stay as they are."""
    return jax.tree.map(lambda leaf: leaf.astype(precision) if leaf.dtype == jnp.float32 else leaf, tree)


def _mean_loss(state, logits, labels):
    losses = state.loss(logits, labels)
    if losses.shape != labels.shape:
        raise InputError(f"the loss must give one number for each example, {labels.shape}, but gives {losses.shape}")
    if state.class_weights is not None:
        losses = losses * state.class_weights[labels]
    known = ((labels >= 0) & (labels < logits.shape[-1])).all()
    return jnp.where(known, losses.mean(), jnp.nan)


def _updated(state, gradients, loss, model_state):
    """The state after the optimizer's update."""
    trained = state.frozen.trained(state.params)
    updates, opt_state = state.tx.update(gradients, state.opt_state, trained, value=loss, grad=gradients)
    new = state.replace(
        step=state.step + 1,
        params=state.frozen.completed(optax.apply_updates(trained, updates), state.params),
        opt_state=opt_state,
        model_state=model_state,
    )
    if state.ema_variables is None:
        return new
    keep = jnp.minimum(state.ema_decay, (1 + new.step) / (10 + new.step))  # forgets the initial weights sooner

    def moved(average, value):
        mixed = keep * average + (1 - keep) * value
        return mixed.astype(value.dtype) if jnp.issubdtype(value.dtype, jnp.floating) else value

    average = jax.tree.map(moved, state.ema_variables, new.current_variables)
    return new.replace(ema_variables=state.frozen.kept(average, state.ema_variables))
