"""A study: a training run for each condition and seed, with the same results however often it is interrupted."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import flax.linen as nn

from ..data.source import DataSource
from ..errors import DivergedError, InputError, whole_number
from ..evaluation.evaluator import evaluate
from ..files.atomic import write_bytes
from ..files.folder_lock import FolderTakenError, locked
from ..files.text import listed
from ..networks.classifier import Classifier
from ..runtime import display, distributed
from ..runtime.agreement import differences
from ..training.config import TrainConfig
from ..training.optimizers import Optimizer
from ..training.step import Loss
from ..training.trainer import Trainer
from .results import METRICS, StudyResults

DEFINITION, TABLE, PAGE, RESULT = "study.json", "runs.csv", "study.html", "result.json"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._+=-]{0,60}[A-Za-z0-9+_-])?")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """The settings of a training that a study repeats with each of its seeds.

    >>> import functools
    >>> make_source = functools.partial(ShapeDataSource, class_names=("circle", "star"), image_size=16)
    >>> plain = Condition(network=network, source=make_source, config=config)

    Args:
        network: The network, as `Trainer` takes it.
        source: A function that makes the data source of a seed, called as `source(seed=3)`: the class itself, or
            `functools.partial(ShapeDataSource, image_size=32)`. Conditions with the same function share its data.
        config: The settings of the training. Its `seed` is replaced by that of the run.
        optimizer: A function in place of `config.optimizer`; see `Trainer`.
        loss: A function in place of the cross-entropy; see `Trainer`.
        initial: A classifier to fine-tune; see `Trainer`.
    """

    network: nn.Module
    source: Callable[..., DataSource]
    config: TrainConfig = TrainConfig()
    optimizer: Optimizer | None = None
    loss: Loss | None = None
    initial: Classifier | None = None


class Study:
    """Trains every condition with every seed, in a folder that keeps all runs.

    >>> def make_source(seed):
    ...     return ShapeDataSource(seed=seed, class_names=("circle", "star"), image_size=16, sizes=(64, 32, 32))
    >>> conditions = {
    ...     f"{epochs} epochs": Condition(
    ...         network=network, source=make_source, config=TrainConfig(epochs=epochs, batch_size=32)
    ...     )
    ...     for epochs in (1, 2)
    ... }
    >>> results = Study(conditions, seeds=2, folder="studies/epochs", verbose=False).run()
    >>> [(each.name, len(each.values)) for each in results.summaries]
    [('1 epochs', 2), ('2 epochs', 2)]

    The seed of a run is that of its weights, order, augmentation and dropout, and of its source. So the runs of one
    seed share their data, and differences between conditions are paired.

    The folder has `study.json`, the settings of the study; `runs.csv`, one row per finished run, without times; and
    `runs`, a folder per run with its result, curves and checkpoints. A study that is made again in its folder
    continues. It may then have additional conditions, and additional seeds after the old ones.

    Several processes and machines that share the folder may run one study at the same time. Each run is done by the
    first that claims it.

    Args:
        conditions: The conditions by name. A name becomes a folder: letters, digits, spaces and . _ + = -.
        seeds: Number of seeds, counted from 0; or the seeds themselves.
        folder: The folder of the study.
        split: The split on which runs are evaluated: "evaluation", or "validation" to choose among settings.
        metric: The metric by which conditions are compared, such as "accuracy" or "log_loss".
        baseline: The condition with which all others are compared. None: all pairs are compared.
        checkpoint_seconds: Seconds from one checkpoint of a run to the next.
        verbose: Whether to print a line per run.

    Raises:
        InputError: A name, a seed, the metric or the baseline is invalid, or a condition cannot be trained.
    """

    def __init__(
        self,
        conditions: Mapping[str, Condition],
        seeds: int | Sequence[int],
        folder: str | Path,
        *,
        split: str = "evaluation",
        metric: str = "accuracy",
        baseline: str | None = None,
        checkpoint_seconds: float = 30.0,
        verbose: bool = True,
    ):
        self.conditions: dict[str, Condition] = _checked(conditions)
        self.seeds: list[int] = [whole_number("a seed", seed, 0, 2**32 - 1) for seed in _each(seeds)]
        if not self.seeds or len({*self.seeds}) != len(self.seeds):
            raise InputError(f"seeds must be one or more, each once, got {self.seeds}")
        self.folder: Path = Path(folder)
        self._split, self._metric, self._baseline = split, metric, baseline
        self._checkpoint_seconds, self._verbose = checkpoint_seconds, verbose
        self._sources: dict[int, tuple[int, DataSource]] = {}
        self._rows: dict[tuple[str, int], dict[str, Any]] = {}
        self._results({})  # raises its errors now

    def run(self, part: tuple[int, int] = (1, 1)) -> StudyResults:
        """Does the runs that are neither finished nor claimed by another process, and returns the results so far.

        Ctrl-C, SIGTERM and SIGHUP write a checkpoint and raise `TrainingStopped`; the next call resumes the run.

        Args:
            part: (i, n) does only part i, from 1, of n parts of the runs, as for an array job of n tasks.

        Returns:
            The results of all finished runs, also those of other processes.

        Raises:
            InputError: The folder holds another study or cannot be written to, or a run fails.
            TrainingStopped: A signal stopped a run.
        """
        index, parts = part
        if not 1 <= index <= parts:
            raise InputError(f"part must be (i, n) with i from 1 to n, got {part!r}")
        self._begin()
        # Seed by seed, so that an unfinished study already has pairs to compare.
        grid = [(name, seed) for seed in self.seeds for name in self.conditions]
        for name, seed in grid[index - 1 :: parts]:
            with self._claimed(name, seed) as state:
                if state in ("new", "begun"):
                    self._do(name, seed, resume=state == "begun")
            distributed.broadcast_from_first(self._write_table)
        return self.results()

    def results(self) -> StudyResults:
        """The results of all finished runs, also of other processes. Raises `InputError` if one cannot be read."""
        rows = distributed.broadcast_from_first(lambda: [*self._finished().values()])
        return self._results({(row["condition"], row["seed"]): row for row in rows})

    def write_page(self, command: str = "") -> Path:
        """Writes `study.html`, the page of the results so far, and returns its path.

        Args:
            command: The shell command that ran the study, for the page; "" leaves it out.

        Raises:
            InputError: The page cannot be written.
            MissingExtraError: jinja2 is not installed.
        """
        from .study_page import study_page

        path = self.folder / PAGE

        def page():
            definitions = json.loads((self.folder / DEFINITION).read_bytes())["conditions"]
            return study_page(self._results(self._rows), definitions, command).encode()

        distributed.broadcast_from_first(lambda: self._write(path, page))
        return path

    def classifier(self, condition: str, seed: int) -> Classifier:
        """The trained classifier of a run. Raises `InputError` if the run is not finished."""
        if (condition, seed) not in self.results().runs:
            raise InputError(f"the run of {condition!r} with seed {seed} is not done: call run() first")
        return self._trainer(condition, seed).fit(resume=True)

    def _results(self, rows):
        return StudyResults(
            conditions=tuple(self.conditions),
            seeds=tuple(self.seeds),
            runs=rows,
            split=self._split,
            metric=self._metric,
            baseline=self._baseline,
        )

    def _begin(self):
        """Writes the settings of the study, or compares them with those in the folder."""
        conditions = {name: self._definition(name) for name in self.conditions}
        made_of = json.loads(json.dumps({"split": self._split, "seeds": self.seeds, "conditions": conditions}))

        def check_and_write():
            path = self.folder / DEFINITION
            if path.exists():
                _check_same(path, made_of)
            write_bytes(path, json.dumps(made_of, indent=1).encode())
            self._write_table()

        distributed.broadcast_from_first(check_and_write)

    def _definition(self, name):
        """The definition of a condition: the settings of its first run."""
        settings = self._trainer(name, self.seeds[0]).settings()
        return {**settings, "train": {key: value for key, value in settings["train"].items() if key != "seed"}}

    def _trainer(self, name, seed):
        condition = self.conditions[name]
        return Trainer(
            condition.network,
            self._source(condition.source, seed),
            replace(condition.config, seed=seed),
            self._place(name, seed) / "training",
            self._checkpoint_seconds,
            optimizer=condition.optimizer,
            loss=condition.loss,
            initial=condition.initial,
            verbose=False,
        )

    def _source(self, make, seed):
        """The source of a seed. Sources of other seeds are released from memory."""
        self._sources = {key: kept for key, kept in self._sources.items() if kept[0] == seed}
        if id(make) not in self._sources:
            self._sources[id(make)] = seed, make(seed=seed)
        return self._sources[id(make)][1]

    def _place(self, name, seed):
        return self.folder / "runs" / name / f"seed-{seed}"

    @contextlib.contextmanager
    def _claimed(self, name, seed) -> Iterator[str]:
        """Claims a run until the block ends, and yields its state: "done", "taken", "begun" or "new".

        The claim is a lock, so that the system releases it if the process is killed.
        """
        place = self._place(name, seed)
        with contextlib.ExitStack() as claim:

            def enter():
                if (place / RESULT).exists():
                    return "done"
                try:
                    claim.enter_context(locked(place))
                except FolderTakenError:
                    return "taken"
                if (place / RESULT).exists():  # finished by another process in the meantime
                    return "done"
                return "begun" if any(place.glob("training/checkpoints/*.msgpack")) else "new"

            yield distributed.broadcast_from_first(enter)

    def _do(self, name, seed, resume):
        """Trains and evaluates one run, and writes its result."""
        trainer, source = self._trainer(name, seed), self._source(self.conditions[name].source, seed)
        try:
            classifier = trainer.fit(resume)
            scores = evaluate(classifier, source, self._split).scores()
            chosen = classifier.metrics["validation"]
            told: dict[str, Any] = {
                "outcome": "done",
                **{figure: scores[figure] for figure in ("n", *METRICS, "temperature")},
                **{figure: chosen[figure] for figure in ("epoch", "validation_accuracy")},
                "epochs": len(trainer.history),
            }
        except DivergedError as error:
            told = {"outcome": "diverged", "error": str(error)}
        except InputError as error:
            raise InputError(f"the run of {name!r} with seed {seed}: {error}") from error
        row = json.dumps({"condition": name, "seed": seed, **told}, indent=1).encode()
        distributed.broadcast_from_first(lambda: write_bytes(self._place(name, seed) / RESULT, row))
        if self._verbose and distributed.is_first():
            value, total = told.get(self._metric), len(self.seeds) * len(self.conditions)
            figure = told["outcome"] if value is None else f"{self._metric} {value:.4f}"
            display.line(f"{name}, seed {seed}: {figure}  ({len(self._finished())} of {total} runs done)")

    def _write_table(self):
        self._write(self.folder / TABLE, lambda: self._results(self._rows).table())

    def _write(self, path, content):
        """Writes a file about all finished runs.

        It is written again if another process finished a run in the meantime, as this file may have replaced its.
        """
        known = None
        while known != (known := len(self._finished())):
            write_bytes(path, content())

    def _finished(self):
        """The rows of the finished runs; each file is read once."""
        for each in [(name, seed) for name in self.conditions for seed in self.seeds]:
            path = self._place(*each) / RESULT
            if each not in self._rows and path.exists():
                try:
                    self._rows[each] = json.loads(path.read_bytes())
                except ValueError as error:
                    raise InputError(f"{path} is damaged: remove it, and the run is evaluated again") from error
        return self._rows


def _each(seeds: Any) -> Sequence[int]:
    """The seeds; a number n means 0 to n - 1."""
    return range(whole_number("seeds", seeds, 1, 2**32)) if isinstance(seeds, Integral) else seeds


def _checked(conditions):
    if not conditions:
        raise InputError("a study must have one condition or more, got none")
    for name in conditions:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"the name of a condition must be letters, digits, spaces and . _ + = -, and begin with a letter or "
                f"digit, got {name!r}"
            )
    if len({name.casefold() for name in conditions}) < len(conditions):
        raise InputError(f"names of conditions must differ in more than upper case, got {listed([*conditions])}")
    return dict(conditions)


def _check_same(path, made_of):
    """Raises `InputError` unless the new settings only add conditions, and seeds after the old ones."""
    try:
        old = json.loads(path.read_bytes())
        seeds, conditions = old["seeds"], old["conditions"]
        gone = conditions.keys() - made_of["conditions"].keys()
        kept = {"split": old["split"], "conditions": conditions}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: choose another folder") from error
    if made_of["seeds"][: len(seeds)] != seeds:
        raise InputError(
            f"{path.parent} holds a study with the seeds {seeds}, got {made_of['seeds']}: new ones must come after "
            "these, or choose another folder"
        )
    if gone:
        raise InputError(f"{path.parent} holds a study that also has {listed(sorted(gone))}: choose another folder")
    now = {"split": made_of["split"], "conditions": {name: made_of["conditions"][name] for name in conditions}}
    if different := differences(kept, now, "{name} was {first}, is now {second}"):
        raise InputError(f"{path.parent} holds another study: {different}; choose another folder")
