"""Training: a pure `train_step` for those who write their own loop, and the `Trainer` for everyone."""

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.struct
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm.auto import tqdm

from .augmentation import Augmentation
from .classifier import Classifier
from .cnn import normalise
from .errors import InputError
from .evaluation import evaluate
from .run_directory import RunDirectory


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
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} does not fit: it needs to be 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate={self.learning_rate} does not fit: it needs to be above 0 and finite")
        if not 0 < self.warmup < 1:
            raise InputError(f"warmup={self.warmup} does not fit: it needs to be between 0 and 1")
        for name in ("label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} does not fit: it needs to be from 0 to below 1")
        if not 0 <= self.final_augmentation <= 1:
            raise InputError(f"final_augmentation={self.final_augmentation} does not fit: it needs to be from 0 to 1")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed={self.seed} does not fit: it needs to be from 0 to 2**32 - 1")

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
    variables = model.initialise(config.seed, image_shape)
    state = TrainState.create(
        apply_fn=model.apply,
        tx=optax.adam(config.schedule(steps)),
        mean=jax.tree.map(jnp.copy, variables) if config.ema_decay else None,
        config=config,
        steps=steps,
        **variables,
    )
    return state.replace(step=jnp.zeros((), jnp.int32))  # as every later step has it: one type, one compilation


@partial(jax.jit, donate_argnames="state")
def train_step(state: TrainState, images, labels):
    """One step of Adam on the mean cross-entropy of a batch: images (b, h, w, c) uint8, labels (b,) int32.

    Returns the new state and {"loss": their mean loss, "correct": how many were predicted right}, both as they were
    before the step. The state that is passed in is used up.
    """
    config = state.config
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    strength = jnp.interp(state.step / state.steps, jnp.array([0.5, 1.0]), jnp.array([1.0, config.final_augmentation]))
    inputs = config.augmentation(key, normalise(images), strength)

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(variables, inputs, train=True, mutable=["batch_stats"])
        return _cross_entropy(logits, labels, config.label_smoothing), (logits, updates["batch_stats"])

    (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    correct = (logits.argmax(axis=-1) == labels).sum()
    new = state.apply_gradients(grads=gradients, batch_stats=batch_stats)
    if state.mean is not None:
        keep = jnp.minimum(config.ema_decay, (1 + new.step) / (10 + new.step))  # forgets the first weights soon
        now = {"params": new.params, "batch_stats": batch_stats}
        new = new.replace(mean=jax.tree.map(lambda mean, value: keep * mean + (1 - keep) * value, state.mean, now))
    return new, {"loss": loss, "correct": correct}


def batch_shardings(batch_size: int) -> tuple[NamedSharding, NamedSharding]:
    """Where `jax.device_put` puts a state, whole on every device, and a batch, an equal share on each.

    All devices take part, or as many as divide the batch.
    """
    devices = jax.devices()[: math.gcd(len(jax.devices()), batch_size)]
    mesh = jax.make_mesh((len(devices),), ("batch",), (AxisType.Auto,), devices=devices)
    return NamedSharding(mesh, P()), NamedSharding(mesh, P("batch"))


def _cross_entropy(logits, labels, smoothing):
    if not smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets).mean()


class Trainer:
    """Trains a model on a source's "train" split and keeps the epoch that its "validation" split chooses.

    That is the last whose accuracy lies within one standard error of the best epoch's (the rule of Breiman et al.,
    Classification and Regression Trees, 1984): less is chance, and the later an epoch, the lower its learning rate.

    Each device takes an equal share of every batch; gradients and BatchNorm's statistics are those of the whole batch.

    Args:
        model: A `CNN` with as many outputs as the source has classes.
        source: A `ShapeDataSource` or a subclass of it.
        config: How to train.
        run_dir: Where curves, history, configuration and checkpoint are written (see `RunDirectory`).
            Default: a new folder in `runs`, named by the time.
    """

    def __init__(self, model, source, config: TrainConfig = TrainConfig(), run_dir: str | Path | None = None):
        if model.num_classes != source.num_classes:
            raise InputError(
                f"the model has {model.num_classes} outputs, the data {source.num_classes} classes: "
                f"make it with CNN(num_classes={source.num_classes})"
            )
        self.model, self.source, self.config = model, source, config
        self.run_dir = RunDirectory.new_path() if run_dir is None else Path(run_dir)
        self.history: list[dict] = []
        """One row an epoch, as in `history.csv`."""
        self._everywhere, self._shared_out = batch_shardings(config.batch_size)
        self._steps = config.epochs * -(-source.size("train") // config.batch_size)
        self._schedule = config.schedule(self._steps)

    def fit(self, resume: bool = False) -> Classifier:
        """Trains to the last epoch and returns the classifier of the chosen one.

        `resume` goes on after the last finished epoch of the run in `run_dir`. Raises `InputError` where the loss
        becomes infinite or no number, and where `run_dir` holds a run but `resume` is not set, or the reverse.
        """
        state = create_train_state(self.model, self.source.image_shape, self.config, self._steps)
        state = jax.device_put(state, self._everywhere)
        chosen, self.history = state.variables, []
        with RunDirectory(self.run_dir, self._settings(), resume) as run:
            if resume:
                state, chosen, self.history = run.restore(state, chosen)
                state = jax.device_put(state, self._everywhere)
            else:
                run.log_samples(self.source)
            for epoch in range(len(self.history), self.config.epochs):
                state, trained = self._train_epoch(state, epoch, run)
                variables = jax.tree.map(np.array, state.variables)  # a copy: the next step uses the state up
                report = evaluate(self._classifier(variables), self.source, "validation")
                row = {
                    "epoch": epoch + 1,
                    "step": int(state.step),
                    **trained,
                    "validation_loss": report.log_loss,
                    "validation_accuracy": report.accuracy,
                }
                self.history.append(row)
                if self._chosen_row() is row:
                    chosen = variables
                run.log_epoch(self.history, report)
                run.save(state, chosen, self.history)
                tqdm.write(self._name(epoch) + ": " + ", ".join(f"{key} {row[key]:.4f}" for key in list(row)[2:]))
        return self._classifier(chosen, {"validation": self._chosen_row()})

    def _train_epoch(self, state, epoch, run):
        """Takes the steps of one epoch; returns the new state and the mean loss and accuracy over them."""
        config, per_epoch = self.config, self._steps // self.config.epochs
        batches = self.source.batches("train", config.batch_size, epoch, full=True)
        losses, correct = [], []

        def read(step, metrics):
            loss = float(metrics["loss"])
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss is {loss} at step {step} (epoch {epoch + 1}): lower learning_rate={config.learning_rate}"
                )
            losses.append(loss)
            correct.append(int(metrics["correct"]) / config.batch_size)
            run.log_step(step, config.batch_size, losses[-1], correct[-1], self._schedule)

        unread = None
        for step, (images, labels) in enumerate(
            tqdm(batches, self._name(epoch), per_epoch, unit="step", leave=False, disable=None), epoch * per_epoch
        ):
            state, metrics = train_step(state, *jax.device_put((images, labels), self._shared_out))
            if unread:  # reading waits for a step to end, so each is read while the next one runs
                read(*unread)
            unread = step, metrics
        read(*unread)
        return state, {"train_loss": float(np.mean(losses)), "train_accuracy": float(np.mean(correct))}

    def _classifier(self, variables, metrics=None):
        source = self.source
        return Classifier(
            self.model, variables, source.class_names, source.image_shape, source.content_size, metrics or {}
        )

    def _chosen_row(self):
        best = max(row["validation_accuracy"] for row in self.history)
        error = math.sqrt(best * (1 - best) / self.source.size("validation"))
        return next(row for row in reversed(self.history) if row["validation_accuracy"] >= best - error)

    def _name(self, epoch):
        return f"epoch {epoch + 1}/{self.config.epochs}"

    def _settings(self):
        """What `config.json` says; a run resumes only under the same."""
        return {
            "train": asdict(self.config),
            "model": self.model.architecture(),
            "source": self.source.settings(),
        }
