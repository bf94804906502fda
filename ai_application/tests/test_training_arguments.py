"""Every setting of a run can be set by the commands that train, and what is wrong is told in one line."""

import dataclasses
import io
import json
import sys
import warnings

import pytest
from PIL import Image

from ai_application import training_run
from ai_application.commands import compare_models, describe_model, predict, train_folder, train_mnist, train_shapes
from ai_application.configs import FOLDER_RECIPE, MNIST_RECIPES
from ai_application.training_arguments import TrainingArguments
from ai_library import (
    CNN,
    Augmentation,
    Classifier,
    ResNet,
    ShapeDataSource,
    TrainConfig,
    load_model,
    save_model,
)
from ai_library.networks.transfer import digest

pytestmark = pytest.mark.usefixtures("quickly_compiled")

RECIPES = {"shapes": (CNN(num_classes=9), TrainConfig(epochs=4))}

SETTINGS = {
    "epochs": (["2"], 2),
    "patience": (["4"], 4),
    "batch_size": (["5"], 5),
    "learning_rate": (["1e-3"], 1e-3),
    "warmup": (["0.5"], 0.5),
    "optimizer": (["adamw"], "adamw"),
    "optimizer_arguments": (["b1", "0.8", "nesterov", "True"], {"b1": 0.8, "nesterov": True}),
    "clip_norm": (["2"], 2.0),
    "class_weights": (["balanced"], "balanced"),
    "label_smoothing": (["0.2"], 0.2),
    "ema_decay": (["0.9"], 0.9),
    "final_augmentation": (["0.5"], 0.5),
    "freeze": (["2"], 2),
    "precision": (["bfloat16"], "bfloat16"),
    "seed": (["3"], 3),
}
AUGMENTATION = {
    **{"shift": 1.5, "rotation": 7.0, "scale": 0.2, "shear": 4.0, "elastic": 0.5, "flip": 0.5},
    **{"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "erase": 0.25, "erase_side": 0.6},
}
NETWORKS = {
    "CNN": {"features": [2, 3, 4, 5, 6], "dense": 7, "patch": 2},
    "ResNet": {"features": [2, 3], "blocks": 2, "patch": 3},
}


OWN_NETWORK = """
import dataclasses
import flax.linen as nn

class Mine(nn.Module):
    num_classes: int
    width: int = 4
    sides: list[int] = dataclasses.field(default_factory=lambda: [3, 3])  # a list, which Flax cannot hash

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)(nn.relu(nn.Conv(self.width, self.sides)(images)).mean((1, 2)))

class Other:
    pass
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command in this process; returns its exit status, what it printed and its errors."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which a command changes
    monkeypatch.setattr(training_run, "share_out_cores", lambda *_: None)  # other tests may have begun to compute
    monkeypatch.setattr(training_run, "keep_freed_memory", lambda: None)

    def run(command, *arguments):
        name = command.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        return command.main(), *capsys.readouterr()

    return run


def training_arguments(*given, recipes=RECIPES, **more):
    return TrainingArguments("Trains.", recipes, given=[*map(str, given)], **more)


@pytest.mark.parametrize("spelling", ["--run-dir", "--run_dir"])
def test_a_run_to_resume_that_began_with_a_model_is_found_by_either_spelling_of_its_folder(spelling, tmp_path):
    began = {"network": {"name": "CNN", "arguments": {"num_classes": 4, "dense": 8}}, "initial": "a digest"}
    (tmp_path / "config.json").write_text(json.dumps(began))
    assert training_arguments(spelling, tmp_path, "--resume").network(4).dense == 8


def flags(settings, prefix=""):
    """The arguments for settings with their values."""
    for name, value in settings.items():
        yield f"--{prefix}{name.replace('_', '-')}"
        yield from map(str, value if isinstance(value, list) else [value])


def test_no_setting_is_missing_from_these_tests():
    assert {*SETTINGS, "augmentation"} == {field.name for field in dataclasses.fields(TrainConfig)}
    assert {*AUGMENTATION} == {field.name for field in dataclasses.fields(Augmentation)}
    for kind in (CNN, ResNet):
        names = {field.name for field in dataclasses.fields(kind) if field.init}
        assert {*NETWORKS[kind.__name__]} == names - {"num_classes", "parent", "name"}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_changes_itself_alone(name):
    texts, value = SETTINGS[name]
    config = training_arguments(f"--{name.replace('_', '-')}", *texts).config()
    assert config == dataclasses.replace(TrainConfig(epochs=4), **{name: value})


def test_class_weights_may_be_a_number_for_each_class():
    config = training_arguments("--class-weights", *range(1, 10)).config()
    assert config.class_weights == tuple(map(float, range(1, 10)))


@pytest.mark.parametrize("name", AUGMENTATION)
def test_each_setting_of_the_augmentation_changes_itself_alone(name):
    config = training_arguments(*flags({name: AUGMENTATION[name]}, "augmentation.")).config()
    assert config.augmentation == Augmentation(**{name: AUGMENTATION[name]})


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NETWORKS for name in NETWORKS[kind]])
def test_each_setting_of_a_network_changes_itself_alone(kind, name):
    network = training_arguments(f"--network={kind}", *flags({name: NETWORKS[kind][name]}, "network.")).network(9)
    value = NETWORKS[kind][name]
    wanted = {"CNN": CNN, "ResNet": ResNet}[kind](9, **{name: tuple(value) if isinstance(value, list) else value})
    assert network == wanted


def test_a_preset_changes_the_defaults_and_arguments_still_count(tmp_path):
    fast = training_arguments("--preset", "fast", "--epochs", "2", recipes=MNIST_RECIPES, own=train_mnist.Mnist)
    network, config = MNIST_RECIPES["fast"]
    assert fast.network(10) == network
    assert fast.config() == dataclasses.replace(config, epochs=2)
    assert training_arguments(recipes=MNIST_RECIPES).config() == MNIST_RECIPES["accurate"][1]


@pytest.mark.parametrize(
    ("given", "optimizer", "arguments"),
    [
        ([], "muon", {"beta": 0.6, "ns_steps": 3}),
        (["--optimizer-arguments", "beta", "0.5"], "muon", {"beta": 0.5}),
        (["--optimizer", "sgd"], "sgd", {}),
        (["--optimizer", "sgd", "--optimizer-arguments", "momentum", "0.9"], "sgd", {"momentum": 0.9}),
    ],
)
def test_a_recipes_arguments_of_its_optimizer_are_for_that_optimizer(given, optimizer, arguments):
    recipe = TrainConfig(optimizer="muon", optimizer_arguments={"beta": 0.6, "ns_steps": 3})
    config = training_arguments(*given, recipes={"shapes": (CNN(num_classes=9), recipe)}).config()
    assert config == dataclasses.replace(recipe, optimizer=optimizer, optimizer_arguments=arguments)


def test_a_value_that_is_left_open_is_the_commands_unless_it_is_given():
    more = {"recipes": {"folder": FOLDER_RECIPE}, "own": train_folder.Folder, "decided_later": {"epochs": "enough"}}
    assert training_arguments("photos", **more).config(epochs=99).epochs == 99
    assert training_arguments("photos", "--epochs", "3", **more).config(epochs=99).epochs == 3


@pytest.mark.parametrize("network", [[], ["--network", "ResNet"]])
def test_help_shows_every_setting_with_its_meaning_and_its_default(network, capsys):
    with pytest.raises(SystemExit) as end:
        training_arguments(*network, "--help")
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in {*SETTINGS} | {f"augmentation.{name}" for name in AUGMENTATION}:
        assert f"--{name.replace('_', '-')} " in shown
    for name in NETWORKS["ResNet" if network else "CNN"]:
        assert f"--network.{name} " in shown
    assert "Passes over the training images. (default: 4)" in shown
    assert (
        "Blocks of each stage. (default: 1)" if network else "Width of the first dense layer. (default: 128)"
    ) in shown


@pytest.fixture(params=["utf-8", "ascii"])
def terminal(request, monkeypatch):
    """A terminal of that encoding, in which help and errors are drawn."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), request.param))


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (["--learning-rate", "fast"], 2, "error: --learning-rate: could not convert string to float: 'fast'"),
        (
            ["--learnin-rate", "1"],
            2,
            "error: Unrecognized options: --learnin-rate, 1: perhaps --learning-rate was meant",
        ),
        (["--images", "600"], 2, "error: Unrecognized options: --images, 600: --help lists all options"),
        (["--optimizer-arguments", "b1"], 2, "error: --optimizer-arguments: "),
        (["--class-weights", "even"], 2, "error: --class-weights: "),
        (["--network"], 2, "error: Missing value for argument '--network'"),
        (["--augmentation.shift", "999"], 1, "error: shift must be from 0 to 180, got 999.0"),
        (["--clip-norm", "-1"], 1, "error: clip_norm must be None, or positive and finite, got -1.0"),
        (["--optimizer", "adm"], 1, "error: optimizer must be one of "),
        (["--network.patch", "0"], 1, "error: patch must be a whole number from 1 to "),
        (["--network.features", "3"], 1, "error: features must be five widths, one per convolution, got (3,)"),
        (["--network", "VGG"], 1, "error: --network must be CNN, ResNet or FILE.py:Class, got 'VGG'"),
        (["--from", "no.msgpack"], 1, "error: no.msgpack "),
        (["--from", "README.md"], 1, "error: README.md is not a model: fetch it again, or train one"),
        (["--from", "docs"], 1, "error: docs "),
        (["--freeze", "-1"], 1, "error: freeze must be a whole number from 0 to "),
        (
            ["--freeze", "13"],
            1,
            "error: freeze must be from 0 to 12, since the last of the network's layers, number 13, ",
        ),
        (["--network", "no.py:Mine"], 1, "error: --network names the file no.py, which is not there"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(given, status, said, terminal, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train_shapes.py", "--run-dir", str(tmp_path / "run"), *given])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which a command changes
    monkeypatch.setattr(training_run, "share_out_cores", lambda *_: None)  # other tests may have begun to compute
    try:
        found = train_shapes.main()
    except SystemExit as end:
        found = end.code
    errors = capsys.readouterr().err
    assert (found, errors.count("\n")) == (status, 1)
    assert errors.startswith(said)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """20 images of each of two shapes."""
    place = tmp_path_factory.mktemp("images")
    source = ShapeDataSource(image_size=32, class_names=("circle", "cross"))
    for index, (image, label) in enumerate(zip(*source.examples("train", range(40)), strict=True)):
        path = place / source.class_names[label] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image.squeeze(2)).save(path)
    return place


@pytest.mark.slow
def test_all_settings_at_once_are_found_in_config_json(folder, tmp_path, run):
    kind = "ResNet"
    model = ResNet(num_classes=3, **NETWORKS[kind])
    initial = Classifier(model, model.initialise(0, (8, 8, 1)), ("a", "b", "c"), (8, 8, 1))
    save_model(tmp_path / "initial.msgpack", initial)
    given = [*flags(AUGMENTATION, "augmentation."), f"--network={kind}", *flags(NETWORKS[kind], "network.")]
    given += ["--from", tmp_path / "initial.msgpack"]
    for name, (texts, _) in SETTINGS.items():
        given += [f"--{name.replace('_', '-')}", *texts]
    given += ["--image-size", 16, "--channels", 1, "--run-dir", tmp_path / "run"]
    status, output, errors = run(train_folder, folder, *given)
    assert status == 0, errors
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["train"] == {name: value for name, (_, value) in SETTINGS.items()} | {"augmentation": AUGMENTATION}
    assert told["network"] == {"name": kind, "arguments": NETWORKS[kind] | {"num_classes": 2}}
    assert told["initial"] == digest(initial.variables)
    assert load_model(tmp_path / "run" / "model.msgpack").class_names == ("circle", "cross")
    assert f"--model {tmp_path / 'run' / 'model.msgpack'}" in output


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_set_and_predicts(folder, tmp_path, run):
    file, model = tmp_path / "mine.py", tmp_path / "run" / "model.msgpack"
    file.write_text(OWN_NETWORK)
    own = ["--network", f"{file}:Mine"]
    given = ["--network.width", 6, "--epochs", 1, "--image-size", 32, "--run-dir", tmp_path / "run"]
    status, output, errors = run(train_folder, folder, *own, *given)
    assert status == 0, errors
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["network"] == {"name": "Mine", "arguments": {"num_classes": 2, "width": 6, "sides": [3, 3]}}
    assert f"--model {model} --network {file}:Mine" in output  # the command that predicts

    status, _, errors = run(predict, "--model", model, "--data", folder, "--output", tmp_path / "out", *own)
    assert status == 0, errors
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n"] == 40
    assert run(describe_model, model, *own)[0] == 0
    assert run(compare_models, model, model, "--data", folder, *own)[0] == 0
    status, _, errors = run(predict, "--model", model, "--data", folder, "--output", tmp_path / "no")
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.endswith("name its class by --network FILE.py:Mine\n")
