"""The command that trains on a folder tells what it found before it trains, and measures what it says."""

import csv
import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from ai_application import training_run
from ai_application.commands import train_folder
from ai_application.own_networks import network_class
from ai_library import CNN, Classifier, load_model, save_model
from ai_library.tests import own_networks
from ai_library.tests.data.folders.image_folders import draw_folder
from ai_library.tests.processes import free_port, without_progress

pytestmark = pytest.mark.usefixtures("quickly_compiled")

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--epochs", "1", "--batch-size", "8"]
"""No folder is smaller than a batch, so that all have the same program."""
SMALL = [*SHORT, "--image-size", "16", "--network", f"{own_networks.__file__}:Linear"]
"""For what any network shows: this one is compiled in a fraction of the time."""
imported_once = functools.cache(network_class)
"""With one class of a network, all runs have the same program; elsewhere each run is a process of its own."""


@pytest.fixture
def train(monkeypatch, capsys):
    """Runs the command in this process, which keeps its devices and its memory; returns what it printed."""
    monkeypatch.setattr(training_run, "share_out_cores", lambda *_: None)
    monkeypatch.setattr(training_run, "keep_freed_memory", lambda: None)
    monkeypatch.setattr("ai_application.training_arguments.network_class", imported_once)

    def run(*given, status=0, sized=True):
        network = SMALL if sized else SHORT
        monkeypatch.setattr(sys, "argv", ["train_folder.py", *map(str, given), *network])
        assert train_folder.main() == status
        printed = capsys.readouterr()
        return without_progress(printed.err) if status else printed.out

    return run


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def leaking(tmp_path):
    """Splits of a user's, of which test has 4 of 24 images from train, and 1 of val's."""
    images = draw_folder(
        tmp_path / "images", {f"{split}/{name}": 12 for split in ("train", "val", "test") for name in "ab"}
    )
    for index in range(4):
        shutil.copy(images / f"train/a/{index:06}.png", images / f"test/a/{index:06}.png")
    shutil.copy(images / "val/b/000003.png", images / "test/b/000005.png")
    return images


@pytest.mark.slow
def test_accuracy_is_given_with_and_without_leaked_images(leaking, train, tmp_path):
    told = train(leaking, "--run-dir", tmp_path / "run")
    assert told.index("warning: 5 images of evaluation with copies in earlier splits") < told.index("epoch 1/1")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    clean = metrics["without_leaks"]
    assert (metrics["n"], clean["n"]) == (24, 19)
    low, high = clean["accuracy_interval"]
    assert low <= clean["accuracy"] <= high
    assert (
        "without the 5 images that have copies, or images of their group, in earlier splits: accuracy "
        f"{clean['accuracy']:.2%} ({low:.2%} to {high:.2%}), n = 19" in told
    )
    leaks = read(tmp_path / "run/leaks.csv")
    assert leaks[0] == ["file", "split", "other", "other_split", "kind"]
    assert leaks[1] == ["test/a/000000.png", "evaluation", "train/a/000000.png", "train", "same pixels"]
    assert len(leaks) == 6
    page = (tmp_path / "run/report.html").read_text()
    assert "5 of the images have copies, or images of their group, in earlier splits" in page
    model = load_model(tmp_path / "run/model.msgpack", networks=[own_networks.Linear])
    assert model.metrics["evaluation"]["without_leaks"] == clean


@pytest.mark.slow
def test_cross_validation_does_not_warn_of_splits_that_it_does_not_use(leaking, train, tmp_path):
    told = train(leaking, "--cross-validate", "2", "--run-dir", tmp_path / "run")
    assert "too high" not in told
    assert len(read(tmp_path / "run/leaks.csv")) == 6


@pytest.mark.slow
def test_images_of_groups_in_train_are_listed_and_left_out_of_the_second_accuracy(train, tmp_path):
    images = {f"{split}/{name}/patient": 12 for split in ("train", "val", "test") for name in "ab"}
    others = {f"{split}/{name}/of {split}": 4 for split in ("train", "val", "test") for name in "ab"}
    told = train(draw_folder(tmp_path / "images", images | others), "--run-dir", tmp_path / "run")
    assert "warning: 2 groups of images in train and validation and evaluation: a/patient, b/patient" in told
    assert "without the 24 images that have copies, or images of their group, in earlier splits: accuracy" in told
    assert json.loads((tmp_path / "run/metrics.json").read_text())["without_leaks"]["n"] == 8
    leaks = read(tmp_path / "run/leaks.csv")
    assert {tuple(row[3:]) for row in leaks[1:]} == {("train", "same group")}
    assert len(leaks) == 1 + 48


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--cross-validate", "2"]])
def test_a_run_that_is_refused_leaves_the_lists_of_the_one_before(more, leaking, train, tmp_path):
    given = ["--run-dir", tmp_path / "run", *more]
    train(leaking, *given)
    leaks = read(tmp_path / "run/leaks.csv")
    assert len(leaks) == 6
    other = draw_folder(tmp_path / "other", {"a": 20, "b": 20})
    assert "holds a run" in train(other, *given, status=1)
    assert "cannot be resumed" in train(other, *given, "--resume", status=1)
    (other / "a/000001.png").write_text("no image")
    told = train(other, *given, status=1)
    assert read(tmp_path / "run/leaks.csv") == leaks
    assert not (tmp_path / "run/unreadable.csv").exists()
    (listed,) = re.findall(r"all of them are listed in (.*)$", told, re.M)
    assert [row[0] for row in read(listed)] == ["file", str(other / "a/000001.png")]


def test_a_run_within_the_images_is_refused_before_anything_is_written(train, tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", {"a": 20, "b": 20})
    before = sorted(images.rglob("*"))
    assert "run lies in " in train(images, "--run-dir", images / "run", status=1)
    assert "choose another --model" in train(images, "--model", images / "m.msgpack", status=1)
    monkeypatch.chdir(images)
    assert "runs lies in ., whose images are read: choose another --run-dir" in train(".", status=1)
    assert sorted(images.rglob("*")) == before


@pytest.mark.slow
def test_a_table_beside_its_images_trains_in_their_folder(train, tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", {"all": 40})
    (images / "labels.csv").write_text("path,label\n" + "".join(f"all/{i:06}.png,{i % 2}\n" for i in range(40)))
    monkeypatch.chdir(images)
    train(".", "--labels", "labels.csv")
    train(".", "--labels", "labels.csv")
    assert len(list(images.glob("runs/*/model.msgpack"))) == 2


@pytest.mark.slow
def test_the_table_comes_before_the_first_epoch(train, tmp_path):
    draw_folder(tmp_path / "up/images", {"a": 20, "b": 30, "a/.hidden": 2, "b/notes.txt": "x"})
    told = train(tmp_path / "up", "--run-dir", tmp_path / "run")
    table = told[: told.index("epoch 1/1")]
    for line in ("a                    14           3           3", "b                    21 ", "ending in .txt (1)"):
        assert line in table
    assert "note: the classes are in images" in table
    assert "without_leaks" not in json.loads((tmp_path / "run/metrics.json").read_text())
    assert not (tmp_path / "run/leaks.csv").exists()


@pytest.mark.slow
def test_cross_validation_predicts_each_image_once_and_resumes(train, tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", {"a": 10, "b": 12})
    draw_folder(tmp_path / "few", {"a": 7, "b": 9})
    error = train(tmp_path / "few", "--run-dir", tmp_path / "run", status=1)
    assert "classes with too few images" in error
    assert "a (7), b (9)" in error
    arguments = [images, "--cross-validate", "3", "--run-dir", tmp_path / "run"]
    told = train(*arguments)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["n"] == 22
    assert [row["support"] for row in metrics["per_class"].values()] == [10, 12]
    assert sum(fold["n"] for fold in metrics["folds"]) == 22
    accuracy = sum(fold["n"] * fold["accuracy"] for fold in metrics["folds"]) / 22
    assert metrics["accuracy"] == pytest.approx(accuracy)
    assert "temperature" not in metrics  # each fold has its own
    for name in ("log_loss", "brier"):
        before = sum(fold["n"] * fold["uncalibrated"][name] for fold in metrics["folds"]) / 22
        assert metrics["uncalibrated"][name] == pytest.approx(before)
    assert any(fold["temperature"] != 1 for fold in metrics["folds"])
    assert metrics["uncalibrated"]["log_loss"] != metrics["log_loss"]
    assert f"accuracy          {accuracy:.2%}  (95 % interval" in told
    shutil.rmtree(tmp_path / "run/fold-3/checkpoints")  # as if it was killed before the first one
    (tmp_path / "run/metrics.json").unlink()
    train(*arguments, "--resume")
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == metrics
    monkeypatch.chdir(tmp_path)
    train(*arguments[:-2])
    train(images)  # a later run, which is no cross-validation
    (latest,) = (path.parents[1] for path in tmp_path.glob("runs/*/fold-3/config.json"))
    (latest / "metrics.json").unlink()
    train(*arguments[:-2], "--resume")
    assert json.loads((latest / "metrics.json").read_text()) == metrics
    error = train(tmp_path / "few", "--cross-validate", "8", "--run-dir", tmp_path / "other", status=1)
    assert "classes too small for 8 folds: a (7); each needs 8 images or more" in error


@pytest.mark.slow
def test_a_table_and_a_zip_train_and_resume_to_the_same_model(train, tmp_path):
    draw_folder(tmp_path / "images", {"all": 40})
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{i:06},{i % 2}\n" for i in range(40)))
    shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path / "images")
    given = [tmp_path / "images.zip", "--labels", tmp_path / "labels.csv", "--run-dir", tmp_path / "run"]
    train(*given)
    first = load_model(tmp_path / "run/model.msgpack", networks=[own_networks.Linear])
    assert first.class_names == ("0", "1")
    train(*given, "--resume")
    again = load_model(tmp_path / "run/model.msgpack", networks=[own_networks.Linear])
    assert np.array_equal(
        first.variables["params"]["Dense_0"]["kernel"], again.variables["params"]["Dense_0"]["kernel"]
    )
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{i:06},{i % 2 ^ (i < 2)}\n" for i in range(40)))
    assert "images were changed" in train(*given, "--resume", status=1)


@pytest.mark.slow
def test_two_processes_cross_validate_groups_as_one_does(train, tmp_path):
    draw_folder(tmp_path / "images", {f"{name}/{animal}": 3 for name in "ab" for animal in range(4)})
    given = [tmp_path / "images", "--cross-validate", "2"]
    meeting = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process"]
    command = [sys.executable, "scripts/train_folder.py", *given, "--run-dir", tmp_path / "two", *SMALL, *meeting]
    running = [subprocess.Popen([*map(str, command), process], cwd=ROOT) for process in "01"]
    train(*given, "--run-dir", tmp_path / "one")
    assert [process.wait() for process in running] == [0, 0]
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["n"] == two["n"] == 24
    assert one["log_loss"] == pytest.approx(two["log_loss"], abs=1e-3)


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    """A small model of another network than the recipe's, for grey images of four other classes."""
    model = CNN(num_classes=4, features=(4,) * 5, dense=4, patch=2)
    path = tmp_path_factory.mktemp("model") / "other.msgpack"
    save_model(path, Classifier(model, model.initialise(3, (16, 16, 1)), ("e", "f", "g", "h"), (16, 16, 1)))
    return path


@pytest.mark.slow
def test_a_training_begins_with_a_model_and_its_network_and_goes_on_without_it(other_model, train, tmp_path):
    """Rare classes weigh more, and the layers that are kept are those of the model."""
    draw_folder(tmp_path / "images", {"a": 20, "b": 60})
    given = [tmp_path / "images", "--run-dir", tmp_path / "run", "--class-weights", "balanced", "--image-size", 16]
    begun = train(*given, "--channels", 1, "--from", other_model, "--freeze", 4, sized=False)
    assert "begins with 30 of 32 arrays of the initial classifier; Dense_1 anew\n" in begun
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["network"]["arguments"] == {"num_classes": 2, "features": [4] * 5, "dense": 4, "patch": 2}
    assert config["train"]["class_weights"] == "balanced"
    first, last = load_model(other_model).variables, load_model(tmp_path / "run/model.msgpack").variables
    same = {
        name
        for collection in first
        for name in first[collection]
        if jax.tree.all(jax.tree.map(np.array_equal, first[collection][name], last[collection][name]))
    }
    assert same == {"Conv_0", "BatchNorm_0", "Conv_1", "BatchNorm_1"}
    model = (tmp_path / "run/model.msgpack").read_bytes()
    goes_on = [*given, "--channels", 1, "--freeze", 4, "--resume"]
    train(*goes_on, sized=False)
    assert (tmp_path / "run/model.msgpack").read_bytes() == model
    third = tmp_path / "run/model.msgpack"
    told = train(*goes_on, "--from", third, sized=False, status=1)
    assert told.count("\n") == 1
    assert "cannot be resumed with other settings: initial was " in told


@pytest.mark.slow
def test_a_cross_validation_that_begins_with_a_model_goes_on_without_it(other_model, train, tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", {"a": 20, "b": 20})
    monkeypatch.chdir(tmp_path)
    given = [images, "--image-size", 16, "--channels", 1, "--cross-validate", 2, "--freeze", 4]
    train(*given, "--from", other_model, sized=False)
    (metrics,) = tmp_path.glob("runs/*/metrics.json")
    before = json.loads(metrics.read_text())
    train(images, "--run-dir", metrics.parents[1] / "later")  # another network's
    metrics.unlink()
    train(*given, "--resume", sized=False)
    assert json.loads(metrics.read_text()) == before
    told = train(*given, "--run-dir", metrics.parents[1] / "later", sized=False, status=1)
    assert "later holds a run that is no cross-validation: choose another --run-dir" in told


@pytest.mark.slow
def test_a_model_to_begin_with_that_is_none_or_does_not_fit_writes_nothing(other_model, train, tmp_path):
    draw_folder(tmp_path / "images", {"a": 20, "b": 20})
    (tmp_path / "no.msgpack").write_text("nothing")
    given = [tmp_path / "images", "--run-dir", tmp_path / "run"]
    for more, said in [
        (["--from", tmp_path / "no.msgpack"], "no.msgpack is not a model"),
        (["--from", other_model, "--freeze", 12], "freeze=12 must leave out layers that the initial classifier lacks"),
        (["--freeze", 1], "freeze must be 0 without --from: what is frozen would stay random"),
        (["--from", other_model, "--network", "ResNet", "--network.features", 64], "initial must share weights"),
    ]:
        told = train(*given, *more, sized=False, status=1)
        *progress, error = told.splitlines()
        assert said in error
        assert all(re.fullmatch(r"reading .* left", line) for line in progress), progress  # of a busy machine
        assert not (tmp_path / "run").exists()
