"""The arguments of the training commands: all settings of the run, the configuration and the network.

They are generated from the classes that take them, and their help from these classes' docstrings. A new field of
`TrainConfig`, `Augmentation` or a network becomes an argument without a change here.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import inspect
import io
import json
import operator
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, make_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

import flax.linen as nn
import tyro
from flax.core import unfreeze

from ai_library import NETWORKS, Augmentation, Classifier, InputError, TrainConfig, load_model
from ai_library.networks.network import network_of
from ai_library.training.run_directory import RunDirectory

from .command_line import PROCESS_ARGUMENTS, shown
from .own_networks import network_class

_NETWORK_HELP = (
    f"{', '.join(NETWORKS)}, or a network of your own as FILE.py:Class. With --help, its settings are shown."
)

_FROM_HELP = (
    "Begin with the weights of a trained model, and with its network unless --network names another. Other classes get "
    "a new last layer. None: begin anew."
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run is kept, and how it continues."""

    model: Path | None = None
    """File to save the model to. None: model.msgpack in the run's folder."""
    run_dir: Path | None = None
    """Folder for curves, checkpoints, report and model. None: a new one in runs/, named by the time."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Continue the run in --run-dir, or the latest in runs/, with the settings that it began with."""
    initial: Annotated[Path | None, tyro.conf.arg(name="from", metavar="MODEL", help=_FROM_HELP)] = None


class TrainingArguments:
    """The parsed arguments of a command that trains.

    Args:
        description: What the command does, for its help.
        presets: Networks and configurations by name; the first is the default. If there are several, the command has
            the argument --preset.
        own: A dataclass of the command's own arguments.
        keeps_run: Whether the command keeps a run in a folder, and so has the arguments of `Run`.
        decided_later: Fields of the configuration whose default depends on the data, each with a description of it.
        given: The arguments. None: those of the process.

    Raises:
        InputError: `--network` names no network, or one with a required field that cannot be given on the command line;
            or `--from` names no model.
        SystemExit: An argument cannot be parsed (2), or help was requested (0).
    """

    def __init__(
        self,
        description: str | None,
        presets: Mapping[str, tuple[nn.Module, TrainConfig]],
        own: type | None = None,
        decided_later: Mapping[str, str] | None = None,
        given: list[str] | None = None,
        *,
        keeps_run: bool = True,
    ):
        given = sys.argv[1:] if given is None else given
        first = _first_look(given)
        network, config = presets.get(first.preset) or next(iter(presets.values()))
        kind = first.network and (NETWORKS.get(first.network) or network_class(first.network))
        self.initial: Classifier | None = None
        """The classifier that training starts from."""
        if first.initial is not None:
            self.initial = load_model(first.initial, networks=[kind] if kind else [])
            network = self.initial.model
        elif first.resume:
            network = _network_that_began(first, kind) or network
        self.network_name: str = first.network or type(network).__name__
        self._network_class = kind or type(network)
        same = type(network) is self._network_class
        defaults = {name: unfreeze(value) for name, value in vars(network).items()} if same else {}
        names, later = tuple(presets), {**_of_its_optimizer(config), **(decided_later or {})}
        parts = {
            "own": _part(own) if own else None,
            "preset": _one(Literal[names], names[0], "Recipe: the defaults of network and configuration.")
            if len(names) > 1
            else None,
            "run": _part(Run) if keeps_run else None,
            "config": _part(_unchecked(TrainConfig, vars(config), later)),
            "network_name": _one(str, self.network_name, _NETWORK_HELP, name="network", metavar="NAME"),
            "network": _part(_unchecked(self._network_class, defaults), prefix="network"),
            "processes": _part(_processes()),
        }
        told = _parsed({name: part for name, part in parts.items() if part}, description, given)
        self.own: Any = getattr(told, "own", None)
        self.run: Run = getattr(told, "run", Run())
        self.processes: Any = told.processes
        self._config, self._network = vars(told.config), vars(told.network)
        if self._config["optimizer_arguments"] is None:
            own = self._config["optimizer"] == config.optimizer
            self._config["optimizer_arguments"] = config.optimizer_arguments if own else {}

    @property
    def seed(self) -> int:
        """The seed of data and weights."""
        return self._config["seed"]

    @property
    def batch_size(self) -> int:
        """Images per step."""
        return self._config["batch_size"]

    def config(self, **later: Any) -> TrainConfig:
        """The configuration; `later` has values for fields that the arguments left open.

        Raises:
            InputError: A value is out of its bounds.
        """
        open_ = {name: value for name, value in later.items() if self._config[name] is None}
        augmentation = Augmentation(**vars(self._config["augmentation"]))
        return TrainConfig(**{**self._config, **open_, "augmentation": augmentation})

    def network(self, num_classes: int) -> nn.Module:
        """The network for `num_classes` classes. Raises `InputError` if the network rejects its settings."""
        fields = {field.name for field in dataclasses.fields(self._network_class)}
        classes = {"num_classes": num_classes} if "num_classes" in fields else {}
        return network_of(self._network_class, {**classes, **self._network})


def arguments_of(kind: type, without: Sequence[str] = ("seed",)) -> type:
    """A dataclass of those arguments of a class that can be given on a command line, with their defaults and help."""
    hints, made = typing.get_type_hints(kind.__init__), []
    for name, parameter in inspect.signature(kind).parameters.items():
        hint, value = _as_tuples(hints[name]), parameter.default
        if name in without:
            continue
        if dataclasses.is_dataclass(value):
            made.append((name, inner := _unchecked(type(value), vars(value)), field(default=inner())))
        elif _can_be_typed(hint):
            made.append((name, hint, field(default=value)))
    return _documented(make_dataclass(kind.__name__, made, kw_only=True, frozen=True), kind)


def _as_tuples(hint):
    """A type with its sequences replaced by tuples, which the parser makes from words."""
    origin, parts = typing.get_origin(hint), tuple(map(_as_tuples, typing.get_args(hint)))
    if origin is Sequence and parts:
        return tuple[parts[0], ...]
    return functools.reduce(operator.or_, parts) if origin in (Union, UnionType) else hint


def _with_elements(hint, default):
    """A type whose plain `tuple` has the elements that the default shows."""
    kinds = {*map(type, default)} if hint is tuple and isinstance(default, tuple) else set()
    return tuple[kinds.pop(), ...] if len(kinds) == 1 else hint


def _first_look(given):
    """Preset, network and initial model. The other arguments and their defaults depend on these."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset")
    parser.add_argument("--network")
    parser.add_argument("--from", dest="initial")
    parser.add_argument("--run-dir", "--run_dir")  # both spellings are valid
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--cross-validate", "--cross_validate")
    with contextlib.suppress(argparse.ArgumentError):  # a missing value: the full parser reports it
        return parser.parse_known_args(given)[0]
    return argparse.Namespace(preset=None, network=None, initial=None, resume=False)


def _network_that_began(first, kind):
    """The network of a run to resume that started from a model, so that `--from` is not needed again; else None."""
    folds = first.cross_validate is not None
    with contextlib.suppress(InputError, OSError, ValueError, KeyError, TypeError):  # reported when the run is opened
        folder = Path(first.run_dir) if first.run_dir else RunDirectory.latest_path("fold-*/" if folds else "")
        began = json.loads((folder / ("fold-1" if folds else "") / "config.json").read_bytes())
        kind = kind or NETWORKS[began["network"]["name"]]
        if began["initial"] and kind.__name__ == began["network"]["name"]:
            return network_of(kind, began["network"]["arguments"])
    return None


def _unchecked(kind, defaults, decided_later=None):
    """A dataclass with the fields, defaults and help of another dataclass or a network, without its checks.

    The class itself checks the values later, with the same errors as in a Python program.
    """
    decided_later, made = decided_later or {}, []
    for known in dataclasses.fields(kind):
        if not known.init or known.name in ("parent", "name", "num_classes"):
            continue
        value = defaults.get(known.name, known.default)
        hint = _with_elements(_as_tuples(_hint(kind, known)), value)
        if known.name in decided_later:
            later = tyro.conf.arg(help_behavior_hint=f"(default: {decided_later[known.name]})")
            made.append((known.name, Annotated[hint | None, later], None))
        elif dataclasses.is_dataclass(value) and type(value) is hint and not isinstance(value, nn.Module):
            made.append((known.name, inner := _unchecked(hint, vars(value)), field(default=inner())))
        elif not _can_be_typed(hint):  # such as a function: the default is used
            if value is known.default_factory is MISSING:
                raise InputError(
                    f"{kind.__name__}.{known.name} must have a default, or be of numbers, texts and truth values, to "
                    "be set on the command line"
                )
        elif known.default_factory is not MISSING:  # of a value that can be changed: each object gets its own
            given = functools.partial(copy.deepcopy, defaults[known.name]) if known.name in defaults else None
            made.append((known.name, hint, field(default_factory=given or known.default_factory)))
        else:
            made.append((known.name, hint, field(default=value)))
    return _documented(make_dataclass(kind.__name__, made, kw_only=True, frozen=True), kind)


def _of_its_optimizer(config):
    """The arguments of a recipe's optimizer as a field that is decided later: another optimizer does not take them."""
    arguments = " ".join(f"{name} {value}" for name, value in config.optimizer_arguments.items())
    return {"optimizer_arguments": f"{arguments} for {config.optimizer}, else none"} if arguments else {}


def _documented(plain, kind):
    """A dataclass with the help of another class."""
    written = inspect.getdoc(kind) or ""
    if written.startswith(f"{kind.__name__}("):  # the signature, which `dataclass` writes where nobody wrote anything
        written = ""
    text, _, arguments = written.partition("Args:")
    plain.__doc__ = "\n\nArgs:".join(filter(None, [text.partition("\n")[0], arguments]))
    return plain


def _hint(kind, known):
    """The type of a field; None if it is an annotation that cannot be evaluated at run time."""
    if not isinstance(known.type, str):
        return known.type
    try:
        owner = next(each for each in kind.__mro__ if known.name in inspect.get_annotations(each))
        return eval(known.type, vars(sys.modules[owner.__module__]))
    except Exception:  # an annotation that is only for type checkers may raise anything
        return None


def _can_be_typed(hint):
    """Whether values of a type can be parsed from words of a command line."""
    if typing.get_origin(hint) in (Union, UnionType, tuple, list, dict):
        return all(each is Ellipsis or _can_be_typed(each) for each in typing.get_args(hint))
    return hint in (int, float, bool, str, NoneType) or typing.get_origin(hint) is Literal


def _processes():
    """The arguments of `command_line.joined`, as a dataclass."""
    made = []
    for name, (kind, default, text) in PROCESS_ARGUMENTS.items():
        hint = tyro.conf.FlagCreatePairsOff[bool] if kind is bool else kind | None
        made.append((name, Annotated[hint, tyro.conf.arg(help=text)], default))
    return make_dataclass("Processes", made, frozen=True)


def _part(kind, prefix=""):
    """A field with the arguments of a dataclass."""
    required = [each for each in dataclasses.fields(kind) if each.default is each.default_factory is MISSING]
    return Annotated[kind, tyro.conf.arg(name=prefix)], field() if required else field(default=kind())


def _one(hint, default, text, **more):
    """A field that is one argument."""
    return Annotated[hint, tyro.conf.arg(help=text, **more)], field(default=default)


def _parsed(parts, description, given):
    """Parses the arguments into an object with the parts. An error is printed in one line."""
    kind = make_dataclass("Arguments", [(name, *part) for name, part in parts.items()], kw_only=True)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, description=description, args=given, config=(tyro.conf.AvoidSubcommands,))
    except SystemExit as end:
        if end.code:
            print(f"error: {shown(_in_one_line(said.getvalue()))}", file=sys.stderr)
        raise


def _in_one_line(frame):
    """The first part of tyro's framed message of many lines, and the arguments that it suggests, in one line.

    The frame is drawn in Unicode with the title in its edge, or in ASCII with the title as a separate part.
    """
    lines = [line.strip(" │") for line in frame.splitlines() if not line.startswith(("╭", "╰"))]
    parts = [[]]
    for line in lines:
        if line and not line.strip("─-"):
            parts.append([])
        else:
            parts[-1].append(line)
    said, *rest = parts if "╭" in frame else parts[1:]
    meant = [line.split()[0] for line in rest[0] if line.startswith("--")] if "Perhaps you meant" in frame else []
    told = " ".join(said).strip().removeprefix("Error parsing ")
    if meant:
        return f"{told}: perhaps {' or '.join(meant)} was meant"
    return f"{told}: --help lists all options" if told.startswith("Unrecognized") else told
