"""Trains several conditions with several seeds each, and reports which conditions differ and how sure that is.

The first word is the data: shapes, mnist, fashion-mnist, or a folder of images as for train_folder. All settings
of training, network and data are arguments and hold for every condition. A condition lists the settings that differ:

    study shapes --epochs 2 --seeds 5 --condition plain --condition smoothed label-smoothing=0.1

The same command continues an interrupted study.
"""

import copy
import inspect
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ai_library import Condition, DataSource, InputError, ShapeDataSource, Study
from ai_library.files.text import counted
from ai_library.laboratory.results import METRICS

from ..command_line import command, command_line, joined, shown
from ..configs import FOLDER_RECIPE, MNIST_RECIPES, SHAPE_RECIPE
from ..mnist import FashionMnistDataSource, MnistDataSource
from ..signals import Interrupted
from ..training_arguments import TrainingArguments, arguments_of
from ..training_run import prepare
from . import train_folder
from .train_mnist import Mnist

MNIST = {"mnist": MnistDataSource, "fashion-mnist": FashionMnistDataSource}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is compared, how often, and where it is kept."""

    condition: Annotated[
        tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME [SETTING=VALUE ...]")
    ] = ()
    """A condition and the settings that differ in it: the arguments below without their dashes, such as network=ResNet
    or augmentation.shift=3; several values as 8,16. Give it once per condition. None: a single condition."""
    seeds: int = 5
    """Number of runs of each condition: with --seed and the seeds after it."""
    study_dir: Path | None = None
    """Folder of the study. None: a folder in studies/, named after the data."""
    baseline: str | None = None
    """Condition that all others are compared with. None: all pairs are compared."""
    metric: Literal[tuple(METRICS)] = "accuracy"  # pyright: ignore[reportInvalidTypeForm]
    """Metric by which conditions are compared."""
    split: str = "evaluation"
    """Images that the metric is measured on. Use validation to choose among settings."""
    part: str = "1/1"
    """I/N: do only the I-th of N parts of the runs, for array jobs."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints of a run."""


@dataclass(frozen=True, kw_only=True)
class Images(train_folder.Images):
    """The images."""

    skip_broken: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave out images that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """One kind of data for a study."""

    recipes: Mapping[str, Any]
    arguments: type
    """A dataclass of the arguments of the source."""
    source: Callable[[Any], Callable[..., DataSource]]
    """Takes an object of that dataclass, and returns a function from the seed to the source."""
    decided_later: Mapping[str, str] = field(default_factory=dict)
    length: Callable[[int, int], dict[str, int]] = lambda images, batch_size: {}
    """The settings of `decided_later`, from the number of training images and the batch size."""


def data_of(name: str) -> Data:
    """The data with a name: shapes, mnist, fashion-mnist or a folder."""
    if name == "shapes":
        return Data(recipes={"shapes": SHAPE_RECIPE}, arguments=arguments_of(ShapeDataSource), source=_shapes)
    if name in MNIST:
        return Data(recipes=MNIST_RECIPES, arguments=Mnist, source=partial(_mnist, MNIST[name]))
    return Data(
        recipes={"folder": FOLDER_RECIPE},
        arguments=Images,
        source=_folder,
        decided_later=train_folder.DECIDED_LATER,
        length=train_folder.length_of_training,
    )


def _shapes(own):
    settings = {}
    for name, parameter in inspect.signature(ShapeDataSource).parameters.items():
        value = getattr(own, name, parameter.default)
        settings[name] = type(parameter.default)(**vars(value)) if is_dataclass(parameter.default) else value
    del settings["seed"]
    return partial(ShapeDataSource, **settings)


def _mnist(kind, own):
    return _with_seeds(kind(data_dir=own.data_dir, files=own.mnist_files))


def _folder(own):
    source = own.source(0, 10, own.skip_broken)
    print(source.summary(), end="\n\n", flush=True)
    return _with_seeds(source)


def _with_seeds(source):
    """A function from a seed to the same source with that seed, without reading the images again."""

    def with_seed(*, seed):
        other = copy.copy(source)
        other.seed = seed
        return other

    return with_seed


@command
def main():
    words = sys.argv[1:]
    name = words[0] if words and not words[0].startswith("-") else "shapes"
    data = data_of(name)
    given = words if data.arguments is Images else words[words[:1] == [name] :]
    base = _arguments(data, given)
    with joined(base.processes):
        setup, conditions = base.own, _conditions(data, given, base)
        first = next(iter(conditions.values()))
        prepare(first.network, first.source(seed=base.seed), first.config)  # before anything is computed
        study = Study(
            conditions,
            range(base.seed, base.seed + setup.seeds),
            setup.study_dir or Path("studies") / Path(name).resolve().name,
            split=setup.split,
            metric=setup.metric,
            baseline=setup.baseline,
            checkpoint_seconds=setup.checkpoint_seconds,
        )
        what = f"{counted(len(conditions), 'condition')}, {counted(setup.seeds, 'seed')} each"
        print(f"{what}, in {shown(study.folder)}", flush=True)
        try:
            results = study.run(_part(setup.part))
        except KeyboardInterrupt as stopped:
            told = f"{str(stopped) or 'interrupted'}; go on with: {command_line()}"
            raise Interrupted(getattr(stopped, "received", signal.SIGINT), told) from None
        page = study.write_page(command_line())
        print(f"\n{results}\n\ntable    {shown(study.folder / 'runs.csv')}\npage     {shown(page)}")


def _arguments(data, given):
    own = make_dataclass("Own", [], bases=(data.arguments, Setup), frozen=True, kw_only=True)
    return TrainingArguments(
        __doc__, data.recipes, own=own, decided_later=data.decided_later, given=given, keeps_run=False
    )


def _conditions(data, given, base):
    """The conditions by name. Each is parsed from the study's arguments followed by its own."""
    found, sources = {}, []
    for name, *changes in base.own.condition or [("default",)]:
        if name in found:
            raise InputError(f"--condition {name} must be given once")
        arguments = _arguments(data, [*given, *_as_words(name, changes)])
        for each in fields(Setup):
            if getattr(arguments.own, each.name) != getattr(base.own, each.name):
                raise InputError(f"--condition {name} must leave {each.name} to the study: it holds for all conditions")
        if arguments.seed != base.seed:
            raise InputError(f"--condition {name} must leave seed to the study: use --seed and --seeds")
        found[name] = _condition(arguments, data, sources)
    return found


def _as_words(condition, changes):
    """Turns SETTING=VALUE into words of a command line."""
    for change in changes:
        name, equals, value = change.partition("=")
        if not (name and equals):
            raise InputError(f"--condition {condition} must be followed by SETTING=VALUE, got {change!r}")
        group, dot, last = name.rpartition(".")
        if value.lower() == "false":
            yield f"--{group}{dot}no-{last}"
        else:
            yield from [f"--{name}", *([] if value.lower() == "true" else value.split(","))]


def _condition(arguments, data, sources):
    source = _source(arguments.own, data, sources)
    first = source(seed=arguments.seed)
    length = data.length(first.size("train"), arguments.batch_size) if data.decided_later else {}
    return Condition(network=arguments.network(first.num_classes), source=source, config=arguments.config(**length))


def _source(own, data, sources):
    """The function that makes the sources; conditions with the same data share it, and so the data."""
    settings = [getattr(own, each.name) for each in fields(data.arguments)]
    for known, source in sources:
        if known == settings:
            return source
    sources.append((settings, source := data.source(own)))
    return source


def _part(text):
    try:
        index, parts = map(int, text.split("/"))
    except ValueError as error:
        raise InputError(f"--part must be I/N, such as 1/4, got {text!r}") from error
    return index, parts
