"""A training run: steps, validation, checkpoints, and the choice of the epoch."""

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
from ..networks.independence import check_independence
from ..networks.initial import initialise
from ..networks.network import check_network, described, settings_of
from ..networks.transfer import digest, transfer
from ..runtime import display, distributed
from ..runtime.agreement import check_alike, code_version
from ..runtime.jax_settings import settings
from . import program
from .callbacks import Callback, out_of_patience
from .class_weights import class_weights
from .config import TrainConfig
from .freezing import check_beginning
from .optimizers import Optimizer
from .run_directory import RunDirectory
from .step import Loss, TrainState, check_step, create_train_state
from .steps import Steps
from .stop_signals import StopSignals, TrainingStopped

_CHECKPOINT = 1
"""The request for a checkpoint that processes exchange. A signal's number added to it also asks for the end."""


@dataclass
class _Progress:
    """The progress of a run: everything that a checkpoint holds."""

    state: TrainState
    chosen: dict[str, Any]
    """The variables of the epoch that the validation has chosen so far."""
    history: list[dict[str, Any]]
    step: int = 0
    """Number of steps taken; the metrics of the last ones may not be read yet."""
    loss: float = 0.0
    """Sum of the losses over the steps of the current epoch."""
    correct: int = 0
    """Number of right predictions over the steps of the current epoch."""
    stopped: bool = False
    """Whether a callback or the patience ended the run before its last epoch."""

    def record(self) -> dict[str, Any]:
        """The JSON-serialisable part of the progress."""
        return {name: getattr(self, name) for name in ("step", "loss", "correct", "history", "stopped")}

    def tree(self) -> dict[str, Any]:
        """The arrays of the progress."""
        return {"state": flax.serialization.to_state_dict(self.state), "chosen": self.chosen}

    def restored(self, record: dict[str, Any], tree: dict[str, Any]) -> "_Progress":
        """The progress with the record and the tree of a checkpoint."""
        state = cast(TrainState, flax.serialization.from_state_dict(self.state, tree["state"]))
        return _Progress(state=state, chosen=tree["chosen"], **record)


class Trainer:
    """Trains a network on the "train" split of a source, and chooses the epoch by its "validation" split.

    The chosen epoch is the last one whose validation accuracy lies within one standard error of the best (Breiman et
    al., Classification and Regression Trees, 1984): smaller differences may be chance, and later epochs have lower
    learning rates. The same split calibrates the classifier's probabilities (see `fit_temperature`).

    Each device takes an equal part of every batch; gradients and BatchNorm's statistics are those of the whole batch.
    Of several processes (see `distributed`), each reads its part of a batch, and all return the same classifier. Only
    the first writes a run directory.

    During `fit`, JAX's global settings are at their defaults, also for a network or source of your own (see
    `jax_settings`).

    >>> trainer = Trainer(network, source, TrainConfig(epochs=2, batch_size=32), run_dir=False, verbose=False)
    >>> classifier = trainer.fit()
    >>> [row["epoch"] for row in trainer.history]
    [1, 2]

    Args:
        model: Any linen module that takes images (b, h, w, c) float32 in [-1, 1] and `train`, and returns logits
            (b, num_classes): `CNN`, `ResNet`, or one of your own. It may have BatchNorm or other state, and dropout.
        source: The data source, with the splits "train" and "validation".
        config: The settings of the training.
        run_dir: The folder for curves, history, configuration and checkpoints (see `RunDirectory`). None: a new folder
            in `runs`, named by the time. False: nothing is written, and a signal ends the run at once.
        checkpoint_seconds: Seconds from one checkpoint to the next; each epoch also ends with one.
        optimizer: A function from a schedule to an optax transformation, such as `optax.lion`, in place of
            `config.optimizer`. Each transformation counts its own updates. So an update every k steps needs
            `lambda schedule: optax.MultiSteps(optax.adam(lambda count: schedule(k * count + k - 1)), k)`.
        loss: A function of logits (b, num_classes) and labels (b,) to losses (b,), in place of the cross-entropy.
        initial: A classifier to fine-tune: weights of the same names and shapes are taken over. If the class names
            differ, layers whose shapes depend on the network's `num_classes` are initialised: without that field, none
            for this reason. A resumed run does not need it.
        callbacks: Functions that get the history after each epoch; see `EarlyStopping`.
        verbose: Whether to show progress and print a line per epoch.

    Attributes:
        history: One row per epoch, as in `history.csv`.

    Raises:
        InputError: The network cannot be called or hashed, needs random numbers or changes its state with
            `train=False`, or its number of logits is not the source's number of classes; the optimizer cannot be used;
            no weight of `initial` has a name and shape of the network; or `config.freeze` is more than the layers that
            the network has or takes over.
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
        """One row per epoch, as in `history.csv`."""
        self._checkpoint_seconds = checkpoint_seconds
        self._optimizer, self._loss = optimizer, loss
        self._initial = None if initial is None else digest(initial.variables)
        self._transfer = None if initial is None else transfer(model, source.image_shape, source.class_names, initial)
        check_beginning(model, source.image_shape, config.freeze, self._transfer)
        self._callbacks, self._verbose = tuple(callbacks), verbose
        self._everywhere, self._shared_out = distributed.batch_shardings(config.batch_size)
        source.size("validation")  # raises now, not after an epoch, if there is none
        self._per_epoch = -(-source.size("train") // config.batch_size)
        self._steps = config.epochs * self._per_epoch

    @settings()
    def fit(self, resume: bool = False) -> Classifier:
        """Trains all epochs and returns the classifier of the chosen one.

        With a run directory, Ctrl-C, SIGTERM and SIGHUP write a checkpoint and raise `TrainingStopped`.

        Args:
            resume: Whether to continue the run in `run_dir` from its newest checkpoint. The result is, bit by bit, that
                of an uninterrupted run. `config.epochs` may be larger than when the run began. The learning rate then
                follows the schedule of the longer run, so it jumps up again after a finished one.

        Raises:
            DivergedError: The loss became infinite or nan. It is an `InputError`.
            InputError: The logits of an image depend on the other images of its batch, which is found after the first
                epoch; `run_dir` holds a run and `resume` is not set; or it is set, and there is none, or one with
                other settings, images or code; or it cannot be written.
            TrainingStopped: A signal stopped the run, after a checkpoint.
        """
        if self.config.freeze and not (self._transfer or resume):
            raise InputError("freeze must be 0 without an initial classifier: what is frozen would stay random")
        state = self._first_state()
        self.model = state.apply_fn.__self__  # by which predictions of equal runs share programs: see `for_run`
        step = check_step(state, self.source.image_shape, self.config.batch_size, self._shared_out)
        progress = _Progress(state, jax.tree.map(np.array, state.variables), [])
        stop = StopSignals()
        hearing = contextlib.nullcontext() if self.run_dir is None else stop
        made_of = self.settings()
        if self.run_dir is not None:
            made_of["program"] = program.described(step, state, self.model, self.source.image_shape, self._optimizer)
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
        self._end_if(distributed.highest(_asked_by(stop)), progress)  # a signal may have come after the last checkpoint
        classifier = self._classifier(progress.chosen)
        return replace(classifier, temperature=chosen["temperature"], metrics={"validation": chosen})

    def _first_state(self):
        """The state before the first step."""
        state = create_train_state(
            self.model,
            self.source.image_shape,
            self.config,
            self._steps,
            optimizer=self._optimizer,
            loss=self._loss,
            class_weights=class_weights(self.config.class_weights, self.source),
            variables=self._first_variables(),
        )
        return distributed.place(state, self._everywhere)

    def _first_variables(self):
        """The initial variables; None: random ones."""
        if self._transfer is None:
            return None
        return self._transfer.into(initialise(self.model, self.config.seed, self.source.image_shape))

    def _begin(self, progress, run, resume):
        """Returns the record and the tree with which the run begins: from a checkpoint, or from initial weights."""
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
        """Takes the remaining steps of an epoch."""
        epoch, per_epoch = len(progress.history), self._per_epoch
        first = progress.step - epoch * per_epoch
        shown = self._verbose and distributed.is_first()
        unread = None
        with display.bar(self._name(epoch), per_epoch, first) if shown else contextlib.nullcontext() as bar:
            for count, take in steps.of_epoch(epoch, first):
                due = time.monotonic() - run.saved_at >= self._checkpoint_seconds
                asked = distributed.highest(_asked_by(stop) or (_CHECKPOINT if due else 0))
                progress.state, metrics = take(progress.state)
                if unread:  # reading waits for the steps, so read them while the next ones run
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
        """Adds the metrics of one or several steps to the sums of the epoch."""
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
        """Validates, chooses the epoch so far, and adds a row to the history."""
        epoch, per_epoch = len(progress.history), self._per_epoch
        variables = jax.tree.map(np.array, progress.state.variables)  # copies: the next step donates these buffers
        classifier = self._classifier(variables)
        report = evaluate(classifier, self.source, "validation")
        if epoch == 0:  # the block's program is compiled now, and the weights differ from the first ones
            check_independence(classifier)
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
                    f"ends after epoch {epoch + 1}: the validation has not improved, or a callback asked for it"
                )
        self._end_if(distributed.highest(_asked_by(stop)), progress)

    def _ends(self, history) -> bool:
        """Whether a callback or the patience ends the run. All callbacks are called, in the first process only."""

        def asked():
            answers = [bool(callback([dict(row) for row in history])) for callback in self._callbacks]
            return any(answers) or out_of_patience(history, self.config.patience)

        return distributed.broadcast_from_first(asked)

    def _end_if(self, asked, progress):
        """Raises `TrainingStopped`, after the checkpoint, if a signal reached any process."""
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
        """Returns the settings of the run: `config.json` without its "program" (see `program.described`)."""
        return {
            "train": asdict(self.config),
            "network": {"name": type(self.model).__name__, "arguments": settings_of(self.model)},
            "functions": {
                name: None if function is None else described(function)
                for name, function in (("optimizer", self._optimizer), ("loss", self._loss))
            },
            "source": self.source.settings(),
            "initial": self._initial,
        }


def _asked_by(stop):
    """The request of this process to the others, from the signal that it received."""
    return _CHECKPOINT + stop.received if stop.received else 0
