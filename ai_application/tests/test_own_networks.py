"""Networks of one's own, by `--network FILE.py:Class`: their fields are arguments, and errors say what is wrong."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest

from ai_application.own_networks import network_class, network_classes
from ai_application.tests.test_training_arguments import OWN_NETWORK, training_arguments
from ai_application.training_run import prepare
from ai_library import ArrayDataSource, Classifier, InputError, TrainConfig, Trainer, load_model, save_model
from ai_library.tests.own_networks import Linear

NETWORK_WITH_A_DICTIONARY = """
import dataclasses
import flax.linen as nn

class Mine(nn.Module):
    num_classes: int
    widths: dict[str, int] = dataclasses.field(default_factory=lambda: {"plain": 1})

    @nn.compact
    def __call__(self, images, train: bool):
        for name, width in sorted(self.widths.items()):
            images = nn.Conv(width, (3, 3), name=name)(images)
        return nn.Dense(self.num_classes)(images.mean((1, 2)))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize(("given", "widths"), [([], {"wide": 3}), (["--network.widths.wide", "2"], {"wide": 2})])
def test_a_field_of_a_network_that_is_a_dictionary_is_the_models_unless_it_is_given(given, widths, tmp_path):
    (tmp_path / "mine.py").write_text(NETWORK_WITH_A_DICTIONARY)
    named = f"{tmp_path / 'mine.py'}:Mine"
    network = network_class(named)(num_classes=2, widths={"wide": 3})
    variables = network.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32), train=False)
    save_model(tmp_path / "model.msgpack", Classifier(network, variables, ("a", "b"), (8, 8, 1)))
    taken = training_arguments("--from", tmp_path / "model.msgpack", "--network", named, *given).network(2)
    assert dict(taken.widths) == widths
    loaded = load_model(tmp_path / "model.msgpack", networks=[type(network)])
    assert loaded.predict_proba(np.zeros((3, 8, 8, 1), np.uint8)).shape == (3, 2)
    save_model(tmp_path / "again.msgpack", loaded)
    assert (tmp_path / "again.msgpack").read_bytes() == (tmp_path / "model.msgpack").read_bytes()
    pair = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), np.uint8), np.arange(8) % 2
    source = ArrayDataSource(train=pair, validation=pair, evaluation=pair)
    with pytest.raises(InputError, match="widths is a dict: use a tuple, or flax.core.FrozenDict for a dict"):
        Trainer(network, source, run_dir=False)
    Trainer(taken, source, TrainConfig(epochs=1, batch_size=8), tmp_path / "run", verbose=False).fit()
    told = json.loads((tmp_path / "run/config.json").read_text())
    assert told["network"]["arguments"]["widths"] == widths


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (OWN_NETWORK, "Yours", "names Yours in .*, which must be a flax.linen.Module; it has Mine"),
        (OWN_NETWORK, "Other", "names Other in .*, which must be a flax.linen.Module; it has Mine"),
        ("import no_such_package", "Mine", "cannot be run: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def (", "Mine", "cannot be run: SyntaxError"),
    ],
)
def test_a_file_without_that_network_is_an_error_that_says_what_it_has(text, name, said, tmp_path):
    file = tmp_path / "networks.py"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        network_class(f"{file}:{name}")


ODD_NETWORK = """
from __future__ import annotations
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
import flax.linen as nn
if TYPE_CHECKING:
    from nowhere import Thing

class Odd(nn.Module):
    num_classes: int
    width: int | None = None
    act: Callable = nn.relu
    kernel_init: Any = nn.initializers.he_normal()
    block: nn.Module | None = None
    thing: Thing | None = None

class Needs(nn.Module):
    num_classes: int
    act: Callable

class Wide(nn.Module):
    num_classes: int
    widths: Sequence[int] = (8, 16)
    strides: tuple = (2, 2)
"""


def test_a_network_that_could_not_be_saved_is_refused_before_the_training():
    images = np.zeros((8, 8, 8, 1), np.uint8)
    source = ArrayDataSource(train=(images, np.arange(8) % 2), validation=0.5)
    kind = type("ResNet", (Linear,), {"__module__": __name__})
    with pytest.raises(InputError, match="must have a name of its own, but .*ResNet shares it"):
        prepare(kind(num_classes=2), source, TrainConfig())


def test_sequences_of_a_network_of_ones_own_are_set(tmp_path, capsys):
    (tmp_path / "odd.py").write_text(ODD_NETWORK)
    named = ["--network", f"{tmp_path / 'odd.py'}:Wide"]
    network: Any = training_arguments(*named, "--network.widths", "4", "4", "6", "--network.strides", "1").network(4)
    assert (network.widths, network.strides) == ((4, 4, 6), (1,))
    with pytest.raises(SystemExit):
        training_arguments(*named, "--help")
    shown = capsys.readouterr().out
    assert "--network.widths [INT [INT ...]]" in shown
    assert "Wide(" not in shown  # the signature is no help
    assert "Args:" not in shown


def test_a_field_that_cannot_be_typed_keeps_its_default(tmp_path):
    (tmp_path / "odd.py").write_text(ODD_NETWORK)
    network = training_arguments("--network", f"{tmp_path / 'odd.py'}:Odd", "--network.width", "3").network(4)
    assert network == type(network)(num_classes=4, width=3)


def test_a_field_that_cannot_be_typed_and_has_no_default_is_named(tmp_path):
    (tmp_path / "odd.py").write_text(ODD_NETWORK)
    with pytest.raises(InputError, match="Needs.act must have a default, or be of numbers, texts and truth values"):
        training_arguments("--network", f"{tmp_path / 'odd.py'}:Needs")


def test_two_files_of_one_name_are_two_modules(tmp_path):
    kinds = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text(OWN_NETWORK)
        kinds.append(network_class(f"{tmp_path / place / 'mine.py'}:Mine"))
    assert kinds[0].__module__ != kinds[1].__module__
    assert all(dataclasses.fields(kind) for kind in kinds)


def with_helpers(tmp_path, *files):
    """Arguments that name networks in folders of their own, each with a helper beside it.

    `files` are the endings of the helpers' paths, and their code. Python keeps modules: each test's have another name.
    """
    name = f"blocks_of_{tmp_path.name}"
    for place, (ending, code) in zip("abc", files, strict=False):
        helper = tmp_path / place / f"{name}{ending}"
        helper.parent.mkdir(parents=True)
        helper.write_text(code)
        (tmp_path / place / "mine.py").write_text(f"from {name} import act\n{OWN_NETWORK}")
    return [f"{tmp_path / place / 'mine.py'}:Mine" for place in "abc"[: len(files)]]


@pytest.mark.parametrize("ending", [".py", "/__init__.py"])
def test_a_helper_of_another_networks_folder_is_not_taken_for_ones_own(ending, tmp_path):
    named = with_helpers(tmp_path, (".py", "act = min"), (ending, "act = max"))
    with pytest.raises(
        InputError, match=r"but blocks\S+ beside \S+b/mine.py is not blocks\S+.py beside .*: rename one"
    ):
        network_classes(named)
    assert len(network_classes(named[:1])) == 1


def test_networks_may_share_copies_of_a_helper(tmp_path):
    assert len(network_classes(with_helpers(tmp_path, (".py", "act = min"), (".py", "act = min")))) == 2


def test_a_network_that_is_named_twice_is_one(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN_NETWORK)
    monkeypatch.chdir(tmp_path)
    assert len(network_classes(["mine.py:Mine", f"{tmp_path / 'mine.py'}:Mine"])) == 1
