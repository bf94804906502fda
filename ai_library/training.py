"""Training: a pure `train_step` for those who write their own loop, and the `Trainer` for everyone."""

import math
import signal
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import flax.serialization
import flax.struct
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from . import distributed
from .augmentation import Augmentation
from .calibration import fit_temperature
from .classifier import Classifier
from .cnn import normalise
from .distributed import BATCH
from .errors import InputError
from .evaluation import evaluate
from .run_directory import RunDirectory
from .stop_signals import StopSignals, TrainingStopped

_CHECKPOINT = 1
"""What processes ask each other for; or, to end after it, a signal, all of which that are heard have higher numbers."""


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


@partial(jax.jit, donate_argnames="state")
def train_step(state: TrainState, images, labels):
    """One step of Adam on the mean cross-entropy of a batch: images (b, h, w, c) uint8, labels (b,) int32.

    Returns the new state and {"loss": their mean loss, "correct": how many were predicted right}, both as they were
    before the step. The state that is passed in is used up. Each device works on an equal share of the batch;
    gradients and BatchNorm's statistics are those of the whole batch.
    """
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
    return new, {"loss": loss, "correct": correct}


def _cross_entropy(logits, labels, smoothing):
    if not smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets).mean()


@dataclass
class _Progress:
    """Where a run stands: all that a checkpoint holds."""

    state: TrainState
    chosen: dict
    """The variables of the epoch that validation chooses so far."""
    history: list[dict]
    step: int = 0
    """Steps taken, of which the metrics of the last may not be read yet."""
    loss: float = 0.0
    """Sum over the steps of the epoch that is under way."""
    correct: int = 0
    """The same, of training images that were predicted right."""

    def record(self) -> dict:
        """What is no array."""
        return {"step": self.step, "loss": self.loss, "correct": self.correct, "history": self.history}

    def tree(self) -> dict:
        """The arrays."""
        return {"state": flax.serialization.to_state_dict(self.state), "chosen": self.chosen}

    def restored(self, record: dict, tree: dict) -> "_Progress":
        """The progress that another's record and tree tell of."""
        state = flax.serialization.from_state_dict(self.state, tree["state"])
        return _Progress(state=state, chosen=tree["chosen"], **record)


class Trainer:
    """Trains a model on a source's "train" split and keeps the epoch that its "validation" split chooses.

    That is the last whose accuracy lies within one standard error of the best epoch's (the rule of Breiman et al.,
    Classification and Regression Trees, 1984): less is chance, and the later an epoch, the lower its learning rate. The
    same split gives the temperature that makes the network's confidences true (see `fit_temperature`).

    Each device takes an equal share of every batch; gradients and BatchNorm's statistics are those of the whole batch.
    Of several processes (see `distributed`) each reads its share alone and returns the same classifier; only the first
    has a run directory.

    Args:
        model: A `CNN` with as many outputs as the source has classes.
        source: A `ShapeDataSource` or a subclass of it.
        config: How to train.
        run_dir: Where curves, history, configuration and checkpoints are written (see `RunDirectory`).
            Default: a new folder in `runs`, named by the time.
        checkpoint_seconds: Time from one checkpoint to the next; each epoch also ends with one.
    """

    def __init__(
        self,
        model,
        source,
        config: TrainConfig = TrainConfig(),
        run_dir: str | Path | None = None,
        checkpoint_seconds: float = 30.0,
    ):
        if model.num_classes != source.num_classes:
            raise InputError(
                f"the model has {model.num_classes} outputs, the data {source.num_classes} classes: "
                f"make it with CNN(num_classes={source.num_classes})"
            )
        self.model, self.source, self.config = model, source, config
        self.run_dir = RunDirectory.new_path() if run_dir is None else Path(run_dir)
        self.history: list[dict] = []
        """One row an epoch, as in `history.csv`."""
        self._checkpoint_seconds = checkpoint_seconds
        self._everywhere, self._shared_out = distributed.batch_shardings(config.batch_size)
        self._steps = config.epochs * -(-source.size("train") // config.batch_size)
        self._schedule = config.schedule(self._steps)

    def fit(self, resume: bool = False) -> Classifier:
        """Trains to the last epoch and returns the classifier of the chosen one.

        `resume` goes on with the run in `run_dir` where its newest checkpoint was written; the end is, bit by bit, that
        of a run that was never interrupted. Ctrl-C and SIGTERM write a checkpoint and raise `TrainingStopped`. Raises
        `InputError` where the loss becomes infinite or no number, and where `run_dir` holds a run but `resume` is not
        set, or the reverse, or cannot be written.
        """
        state = create_train_state(self.model, self.source.image_shape, self.config, self._steps)
        progress = _Progress(state, jax.tree.map(np.array, state.variables), [])
        with RunDirectory.opened(self.run_dir, self._settings(), resume) as run, StopSignals() as stop:
            progress = progress.restored(*distributed.from_first(lambda: self._begin(progress, run, resume)))
            progress.state = distributed.place(progress.state, self._everywhere)
            self.history = progress.history
            while len(self.history) < self.config.epochs:
                self._train_epoch(progress, run, stop)
                self._end_epoch(progress, run, stop)
            chosen = self._chosen_row()
            run.log_end(chosen)
        classifier = self._classifier(progress.chosen)
        return replace(classifier, temperature=chosen["temperature"], metrics={"validation": chosen})

    def _begin(self, progress, run, resume):
        """Record and tree of where the run begins: in a checkpoint, or in fresh weights."""
        if resume:
            return [*run.restore(progress.tree())]
        run.begin(self.source)
        return [progress.record(), progress.tree()]

    def _train_epoch(self, progress, run, stop):
        """Takes the steps of an epoch that are left."""
        epoch, per_epoch = len(progress.history), self._steps // self.config.epochs
        first = progress.step - epoch * per_epoch
        part = distributed.process_index(), distributed.process_count()
        batches = self.source.batches("train", self.config.batch_size, epoch, first=first, full=True, part=part)
        hidden = None if distributed.is_first() else True  # None: where the output is no terminal
        unread = None
        for batch in tqdm(
            batches, self._name(epoch), per_epoch, initial=first, unit="step", leave=False, disable=hidden
        ):
            due = time.monotonic() - run.saved_at >= self._checkpoint_seconds
            asked = distributed.highest(int(stop.received or (_CHECKPOINT if due else 0)))
            progress.state, metrics = train_step(progress.state, *distributed.place(batch, self._shared_out))
            if unread:  # reading waits for a step to end, so each is read while the next one runs
                self._read(progress, run, *unread)
            unread = progress.step, metrics
            progress.step += 1
            if progress.step < (epoch + 1) * per_epoch and int(asked):
                self._read(progress, run, *unread)
                unread = None
                self._save(progress, run, int(asked))
        if unread:
            self._read(progress, run, *unread)

    def _read(self, progress, run, step, metrics):
        """Adds the metrics of a step to those of its epoch."""
        loss, correct = float(metrics["loss"]), int(metrics["correct"])
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} at step {step} (epoch {len(progress.history) + 1}): "
                f"lower learning_rate={self.config.learning_rate}"
            )
        progress.loss, progress.correct = progress.loss + loss, progress.correct + correct
        run.log_step(step, self.config.batch_size, loss, correct / self.config.batch_size, self._schedule)

    def _end_epoch(self, progress, run, stop):
        """Validates the epoch, chooses, and adds a row to the history."""
        epoch, per_epoch = len(progress.history), self._steps // self.config.epochs
        variables = jax.tree.map(np.array, progress.state.variables)  # a copy: the next step uses the state up
        report = evaluate(self._classifier(variables), self.source, "validation")
        row = {
            "epoch": epoch + 1,
            "step": progress.step,
            "train_loss": progress.loss / per_epoch,
            "train_accuracy": progress.correct / (per_epoch * self.config.batch_size),
            "validation_loss": report.log_loss,
            "validation_accuracy": report.accuracy,
            "temperature": fit_temperature(report.logits, report.labels),
        }
        progress.history.append(row)
        progress.loss, progress.correct = 0.0, 0
        if self._chosen_row() is row:
            progress.chosen = variables
        run.log_epoch(progress.history, report, variables["params"])
        if distributed.is_first():
            tqdm.write(self._name(epoch) + ": " + ", ".join(f"{key} {row[key]:.4f}" for key in list(row)[2:]))
        self._save(progress, run, int(distributed.highest(int(stop.received or _CHECKPOINT))))

    def _save(self, progress, run, asked):
        """Writes a checkpoint; ends the run there if a signal asked for it, in whichever process."""
        run.save(progress.record(), progress.tree())
        if asked > _CHECKPOINT and progress.step < self._steps:
            received = signal.Signals(asked)
            raise TrainingStopped(
                f"stopped by {received.name} after step {progress.step:,} of {self._steps:,}, "
                f"with a checkpoint in {self.run_dir}",
                received,
            )

    def _classifier(self, variables):
        source = self.source
        return Classifier(self.model, variables, source.class_names, source.image_shape, source.content_size)

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
