"""A run of training: steps, validation, checkpoints, and the choice of the epoch."""

import contextlib
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import flax.linen as nn
import flax.serialization
import jax
import numpy as np

from ..data.source import DataSource
from ..errors import DivergedError, InputError
from ..evaluation.calibration import fit_temperature
from ..evaluation.evaluator import evaluate
from ..networks.classifier import Classifier
from ..networks.network import check_network, initialise, settings_of
from ..networks.transfer import digest, transfer
from ..runtime import display, distributed
from ..runtime.agreement import check_alike, code_version
from ..runtime.jax_settings import settings
from .callbacks import Callback, out_of_patience
from .config import TrainConfig
from .freezing import check_beginning
from .optimizers import Optimizer
from .run_directory import RunDirectory
from .step import Loss, TrainState, check_step, create_train_state
from .steps import Steps
from .stop_signals import StopSignals, TrainingStopped

_CHECKPOINT = 1
"""What processes ask each other for; with a signal's number added to it, for a checkpoint and then the end."""


@dataclass
class _Progress:
    """Where a run stands: all that a checkpoint holds."""

    state: TrainState
    chosen: dict[str, Any]
    """The variables of the epoch that validation chooses so far."""
    history: list[dict[str, Any]]
    step: int = 0
    """Steps taken, of which the metrics of the last may not be read yet."""
    loss: float = 0.0
    """Sum over the steps of the epoch that is under way."""
    correct: int = 0
    """The same, of training images that were predicted right."""
    stopped: bool = False
    """Whether a callback ended the run before its last epoch."""

    def record(self) -> dict[str, Any]:
        """The JSON-serialisable part of the progress."""
        names = ("step", "loss", "correct", "history", "stopped")
        return {name: getattr(self, name) for name in names}

    def tree(self) -> dict[str, Any]:
        """The arrays."""
        return {"state": flax.serialization.to_state_dict(self.state), "chosen": self.chosen}

    def restored(self, record: dict[str, Any], tree: dict[str, Any]) -> "_Progress":
        """The progress that another's record and tree tell of."""
        state = cast(TrainState, flax.serialization.from_state_dict(self.state, tree["state"]))
        return _Progress(state=state, chosen=tree["chosen"], **record)


class Trainer:
    """Trains a network on a source's "train" split and keeps the epoch that its "validation" split chooses.

    That is the last whose accuracy lies within one standard error of the best epoch's (the rule of Breiman et al.,
    Classification and Regression Trees, 1984): less is chance, and the later an epoch, the lower its learning rate. The
    same split gives the temperature that makes the network's confidences true (see `fit_temperature`).

    Each device takes an equal part of every batch; gradients and BatchNorm's statistics are those of the whole batch.
    Of several processes (see `distributed`) each reads its part alone and returns the same classifier; only the first
    has a run directory.

    All that runs in `fit`, also a network or a source of your own, finds JAX's settings at their defaults, whatever the
    program's own are (see `jax_settings`).

    Args:
        model: Any linen module that takes images (b, h, w, c) float32 in [-1, 1] and `train`, and gives logits
            (b, num_classes): `CNN`, `ResNet`, or one of your own. It may have BatchNorm or other state, and dropout.
        source: A `DataSource`.
        config: How to train.
        run_dir: Where curves, history, configuration and checkpoints are written (see `RunDirectory`).
            Default: a new folder in `runs`, named by the time. False: nothing is written, and a signal ends the run
            at once.
        checkpoint_seconds: Time from one checkpoint to the next; each epoch also ends with one.
        optimizer: A function from a schedule to an optax transformation, such as `optax.lion`, in place of the
            configuration's optimizer.
        loss: A function of logits (b, num_classes) and labels (b,) to losses (b,), in place of the cross-entropy.
        initial: A classifier whose weights to begin with, where their names and shapes are the network's. With other
            classes, what depends on their number begins anew: the last layer. A run that is resumed needs it no more.
        callbacks: Functions that get the history after each epoch; see `EarlyStopping`.
        verbose: Whether to show progress, and print a line for each epoch.

    Raises:
        InputError: The network gives another number of logits than the source has classes, or cannot be called; the
            optimizer cannot be used; no weight of `initial` can be taken over; more layers are to be frozen than there
            are, or one that is not taken over.
    """

    def __init__(
        self,
        model: nn.Module,
        source: DataSource,
        config: TrainConfig = TrainConfig(),
        run_dir: str | Path | Literal[False] | None = None,
        checkpoint_seconds: float = 30.0,
        *,
        optimizer: Optimizer | None = None,
        loss: Loss | None = None,
        initial: Classifier | None = None,
        callbacks: Sequence[Callback] = (),
        verbose: bool = True,
    ):
        check_network(model, source.image_shape, source.num_classes)
        if not checkpoint_seconds >= 0:
            raise InputError(f"checkpoint_seconds must be 0 or more, got {checkpoint_seconds}")
        self.model: nn.Module = model
        self.source: DataSource = source
        self.config: TrainConfig = config
        self.run_dir: Path | None = None
        if run_dir is not False:
            self.run_dir = RunDirectory.new_path() if run_dir is None else Path(run_dir)
        self.history: list[dict[str, Any]] = []
        """One row an epoch, as in `history.csv`."""
        self._checkpoint_seconds = checkpoint_seconds
        self._optimizer, self._loss = optimizer, loss
        self._initial = None if initial is None else digest(initial.variables)
        self._transfer = None if initial is None else transfer(model, source.image_shape, source.class_names, initial)
        check_beginning(model, source.image_shape, config.freeze, self._transfer)
        self._callbacks, self._verbose = tuple(callbacks), verbose
        self._everywhere, self._shared_out = distributed.batch_shardings(config.batch_size)
        source.size("validation")  # whose lack is better known now than after an epoch
        self._per_epoch = -(-source.size("train") // config.batch_size)
        self._steps = config.epochs * self._per_epoch

    @settings()
    def fit(self, resume: bool = False) -> Classifier:
        """Trains to the last epoch and returns the classifier of the chosen one.

        Ctrl-C, SIGTERM and SIGHUP write a checkpoint and raise `TrainingStopped`, unless there is no run directory.

        Args:
            resume: Go on with the run in `run_dir` where its newest checkpoint was written. The end is, bit by bit,
                that of a run that was never interrupted. The configuration may have more epochs than the run began
                with: from here on the learning rate is then that of a run of so many epochs, higher again than where
                the finished run ended.

        Raises:
            DivergedError: The loss became infinite or not a number. It is an `InputError`.
            InputError: `run_dir` holds a run but `resume` is not set, or the
                reverse, or it cannot be written.
        """
        if self.config.freeze and not (self._transfer or resume):
            raise InputError("freeze must be 0 without an initial classifier: what is frozen would stay random")
        state = self._first_state()
        progress = _Progress(state, jax.tree.map(np.array, state.variables), [])
        stop = StopSignals()
        hearing = contextlib.nullcontext() if self.run_dir is None else stop
        made_of = self.settings()
        check_alike(lambda: {**made_of, "code": code_version(type(self.model), type(self.source))})
        with RunDirectory.opened(self.run_dir, made_of, resume) as run, hearing:
            progress = progress.restored(*distributed.broadcast_from_first(lambda: self._begin(progress, run, resume)))
            progress.state = distributed.place(progress.state.with_schedule(state.schedule), self._everywhere)
            self.history = progress.history
            if progress.stopped and len(self.history) < self.config.epochs and not self._ends(self.history):
                progress.stopped = False
            steps = Steps(self.source, self.config.batch_size, self._shared_out)
            while len(self.history) < self.config.epochs and not progress.stopped:
                self._train_epoch(steps, progress, run, stop)
                self._end_epoch(progress, run, stop)
            chosen = self._chosen_row()
            run.log_end(chosen)
        self._end_if(distributed.highest(_asked_by(stop)), progress)  # by a signal that came after the last checkpoint
        classifier = self._classifier(progress.chosen)
        return replace(classifier, temperature=chosen["temperature"], metrics={"validation": chosen})

    def _first_state(self):
        """The state before the first step, after a look at whether a step can be taken."""
        state = create_train_state(
            self.model,
            self.source.image_shape,
            self.config,
            self._steps,
            optimizer=self._optimizer,
            loss=self._loss,
            class_weights=self._class_weights(),
            variables=self._first_variables(),
        )
        state = distributed.place(state, self._everywhere)
        check_step(state, self.source.image_shape, self.config.batch_size, self._shared_out)
        return state

    def _class_weights(self):
        weights, classes = self.config.class_weights, self.source.num_classes
        if weights != "balanced":
            if weights is not None and len(weights) != classes:
                raise InputError(f"class_weights must have a weight for each of {classes} classes, got {len(weights)}")
            return weights
        counts = np.zeros(classes, np.int64)
        for _, labels in self.source.batches("train", 1024):
            counts += np.bincount(labels, minlength=classes)
        if not counts.all():
            missing = self.source.class_names[int(counts.argmin())]
            raise InputError(f"class_weights='balanced' needs training images of every class, and {missing!r} has none")
        return counts.sum() / (classes * counts)

    def _first_variables(self):
        """What to begin with; None: fresh weights."""
        if self._transfer is None:
            return None
        return self._transfer.into(initialise(self.model, self.config.seed, self.source.image_shape))

    def _begin(self, progress, run, resume):
        """Record and tree of where the run begins: in a checkpoint, or in fresh weights."""
        if run.missing and self._verbose:
            packages = " and ".join(run.missing)
            display.line(
                f"curves for TensorBoard are left out: they need {packages} (install 'ai-library[tensorboard]')"
            )
        tree = progress.tree()
        if resume:
            return [*run.restore(tree, self._per_epoch)]
        if self._transfer and self._verbose:
            display.line(f"begins with {self._transfer}")
        run.begin(self.source, tree)
        return [progress.record(), tree]

    def _train_epoch(self, steps, progress, run, stop):
        """Takes the steps of an epoch that are left."""
        epoch, per_epoch = len(progress.history), self._per_epoch
        first = progress.step - epoch * per_epoch
        shown = self._verbose and distributed.is_first()
        unread = None
        with display.bar(self._name(epoch), per_epoch, first) if shown else contextlib.nullcontext() as bar:
            for count, take in steps.of_epoch(epoch, first):
                due = time.monotonic() - run.saved_at >= self._checkpoint_seconds
                asked = distributed.highest(_asked_by(stop) or (_CHECKPOINT if due else 0))
                progress.state, metrics = take(progress.state)
                if unread:  # reading waits for steps to end, so they are read while the next ones run
                    self._read(progress, run, *unread)
                unread = progress.step, metrics
                progress.step += count
                if bar is not None:
                    bar.update(count)
                if progress.step < (epoch + 1) * per_epoch and int(asked):
                    self._read(progress, run, *unread)
                    unread = None
                    run.save(progress.record(), progress.tree())
                    self._end_if(asked, progress)
        if unread:
            self._read(progress, run, *unread)

    def _read(self, progress, run, first, metrics):
        """Adds the metrics of one step or several to those of their epoch."""
        names = ("loss", "correct", "learning_rate")
        for step, values in enumerate(zip(*(np.atleast_1d(metrics[name]) for name in names), strict=True), first):
            loss, correct, learning_rate = (value.item() for value in values)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss is {loss} at step {step} (epoch {len(progress.history) + 1}): "
                    f"lower learning_rate={self.config.learning_rate}"
                )
            progress.loss, progress.correct = progress.loss + loss, progress.correct + correct
            run.log_step(step, self.config.batch_size, loss, correct / self.config.batch_size, learning_rate)

    def _end_epoch(self, progress, run, stop):
        """Validates the epoch, chooses, and adds a row to the history."""
        epoch, per_epoch = len(progress.history), self._per_epoch
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
        progress.stopped = self._ends(progress.history)
        run.save(progress.record(), progress.tree())
        if self._verbose and distributed.is_first():
            display.line(self._name(epoch) + ": " + ", ".join(f"{key} {row[key]:.4f}" for key in list(row)[2:]))
            if progress.stopped and epoch + 1 < self.config.epochs:
                display.line(
                    f"ends after epoch {epoch + 1}: validation has not improved for long, or a callback said so"
                )
        self._end_if(distributed.highest(_asked_by(stop)), progress)

    def _ends(self, history) -> bool:
        """Whether a callback or the patience ends the run; all callbacks are called, in the first process."""

        def asked():
            answers = [bool(callback(history)) for callback in self._callbacks]
            return any(answers) or out_of_patience(history, self.config.patience)

        return distributed.broadcast_from_first(asked)

    def _end_if(self, asked, progress):
        """Ends the run, whose checkpoint is written, if a signal asked for it, in whichever process."""
        if int(asked) > _CHECKPOINT:
            received = signal.Signals(int(asked) - _CHECKPOINT)
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

    def settings(self) -> dict[str, Any]:
        """What the run is made of, as `config.json` says it; a run resumes only under the same."""
        return {
            "train": asdict(self.config),
            "network": {"name": type(self.model).__name__, "arguments": settings_of(self.model)},
            "functions": {
                name: None if function is None else getattr(function, "__qualname__", repr(function))
                for name, function in (("optimizer", self._optimizer), ("loss", self._loss))
            },
            "source": self.source.settings(),
            "initial": self._initial,
        }


def _asked_by(stop):
    """What this process asks the others for, because of the signal that it received."""
    return _CHECKPOINT + stop.received if stop.received else 0
