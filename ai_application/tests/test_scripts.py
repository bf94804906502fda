"""The shipped commands, run as a user runs them."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ai_application.commands import describe_model
from ai_library import ShapeDataSource, evaluate, load_model, save_model
from ai_library.data.images.reading import read_image
from ai_library.tests import own_networks
from ai_library.tests.model_files import small_classifier
from ai_library.tests.pillow_shapes import draw_pillow_folder

ROOT = Path(__file__).resolve().parents[2]
SHAPES_MODEL = ROOT / "ai_application/models/shapes.msgpack"


def run(script, *arguments):
    """Runs a script in the clone; returns its exit status, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, f"scripts/{script}", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_train_shapes_leaves_a_model_a_report_and_a_run_directory(tmp_path):
    small = ["--epochs", 1, "--network.features", 16, 32, 32, 32, 32, "--network.dense", 64, "--learning-rate", 1e-2]
    status, output, errors = run(
        "train_shapes.py", *small, "--model", tmp_path / "m.msgpack", "--run-dir", tmp_path / "run"
    )
    assert status == 0, errors
    classifier = load_model(tmp_path / "m.msgpack")
    assert classifier.metrics["evaluation"]["n"] == 10_000
    assert classifier.metrics["evaluation"]["accuracy"] > 0.8
    assert f"{classifier.metrics['evaluation']['accuracy']:.2%}" in output
    assert json.loads((tmp_path / "run/config.json").read_text())["train"]["epochs"] == 1
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics.items() >= classifier.metrics["evaluation"].items()
    page = (tmp_path / "run/report.html").read_text()
    assert f"{metrics['accuracy']:.2%}" in page
    assert "Accuracy by each factor" in page
    assert str(tmp_path / "run/report.html") in output
    curves = EventAccumulator(str(tmp_path / "run/train"))
    curves.Reload()
    assert len(curves.Scalars("loss")) > 20


@pytest.mark.slow
def test_from_another_folder_the_committed_model_and_images_are_found_and_predicted(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "scripts/predict.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert metrics["n"] == 450
    assert metrics["accuracy"] >= 0.985
    assert f"{metrics['accuracy']:.2%}" in done.stdout
    assert "n = 450" in done.stdout
    assert (tmp_path / "results/report.html").exists()


@pytest.mark.slow
def test_the_committed_model_predicts_shapes_that_pillow_drew(tmp_path):
    draw_pillow_folder(tmp_path / "images", load_model(SHAPES_MODEL).class_names)
    status, _, errors = run("predict.py", "--data", tmp_path / "images", "--output", tmp_path / "out")
    assert status == 0, errors
    assert json.loads((tmp_path / "out/metrics.json").read_text())["accuracy"] >= 0.97


@pytest.mark.slow
def test_drawn_images_are_those_of_the_source(tmp_path):
    status, _, errors = run("draw_shapes.py", "--number", 18, "--output", tmp_path)
    assert status == 0, errors
    committed = ROOT / "ai_application/evaluation/shapes"
    drawn = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")]
    assert len(drawn) == 18
    status, _, errors = run("draw_shapes.py", "--number", 9, "--output", tmp_path)
    assert (status, errors) == (1, f"error: {tmp_path} holds images already: choose another folder, or remove it\n")
    for path in drawn:  # another processor may round a level the other way
        pixels = [read_image(folder / path, (64, 64, 1)).astype(int) for folder in (committed, tmp_path)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1


@pytest.fixture(scope="module")
def own_images(tmp_path_factory):
    """A folder of a user's own, of two classes that are easily told apart."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for index in range(180):
        name, ink = (("blue", (20, 30, 220)), ("red", (220, 30, 20)))[index % 2]
        path = folder / name / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        image = Image.new("RGB", tuple(rng.integers(30, 90, 2)), "white")
        image.paste(ink, (5, 5, 15 + index % 10, 20))
        image.save(path)
    return folder


def train_folder_command(images, folder):
    options = ["--image-size", 32, "--epochs", 15, "--network", f"{own_networks.__file__}:Linear"]
    options += ["--model", folder / "m.msgpack", "--run-dir", folder / "run"]
    return list(map(str, ["scripts/train_folder.py", images, *options]))


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_a_training_on_own_images_that_sigterm_ends_goes_on_by_the_command_that_it_names(own_images, tmp_path):
    command = train_folder_command(own_images, tmp_path)
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "run").glob("train/*")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    line = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 128 + signal.SIGTERM
    match = re.fullmatch(
        r"stopped by SIGTERM after step [\d,]+ of [\d,]+, with a checkpoint in .*; go on with: (.*)", line
    )
    assert shlex.split(match[1]) == ["python", *command, "--resume"]
    done = subprocess.run([sys.executable, *shlex.split(match[1])[1:]], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    classifier = load_model(tmp_path / "m.msgpack", networks=[own_networks.Linear])
    assert classifier.class_names == ("blue", "red")
    assert classifier.image_shape == (32, 32, 3)
    assert classifier.metrics["evaluation"]["accuracy"] > 0.9
    assert "Accuracy under corruptions" in (tmp_path / "run/report.html").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_results_on_a_full_disk_end_with_one_line_and_the_old_ones_whole(tmp_path):
    disk, images = tmp_path / "disk", tmp_path / "images"
    disk.mkdir()
    for folder in (ROOT / "ai_application/evaluation/shapes").iterdir():
        (images / folder.name).mkdir(parents=True)
        shutil.copy(next(folder.glob("*.png")), images / folder.name)
    command = ["predict.py", "--data", images, "--output", disk / "out"]
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        assert run(*command)[0] == 0
        old = {path.name: path.read_bytes() for path in (disk / "out").iterdir()}
        assert {"predictions.csv", "metrics.json", "report.html"} <= {*old}
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(b"0" * 4096)
        for options, name, reason in (
            ("remount", "predictions.csv", "No space left on device"),
            ("remount,ro", "lock", "Read-only file system"),
        ):
            subprocess.run(["mount", "-o", options, disk], check=True)
            status, _, errors = run(*command)
            assert status == 1
            assert re.fullmatch(rf"error: cannot write .*/out/{name}: {reason}; choose a place .*\n", errors)
            assert {path.name: path.read_bytes() for path in (disk / "out").iterdir()} == old
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
def test_confidences_of_the_committed_shapes_model_are_true():
    classifier = load_model(SHAPES_MODEL)
    report = evaluate(classifier, ShapeDataSource(seed=0))
    assert report.n == 10_000
    assert report.ece <= 0.01
    assert report.ece < report.at_temperature(1.0).ece


AT_FAULT = [
    ("predict.py", ["--model", "none.msgpack"], "error: none.msgpack cannot be read"),
    ("predict.py", ["--model", "README.md"], "error: README.md is not a model: fetch"),
    ("predict.py", ["--data", "nowhere"], "error: nowhere does not exist"),
    ("predict.py", ["--data", "scripts"], "error: scripts holds no images"),
    ("predict.py", ["--output", "README.md/results"], "error: cannot write README.md/results: Not a dir"),
    ("predict.py", ["--data", "docs", "--output", "docs/out"], "error: docs/out lies in docs"),
    ("train_shapes.py", ["--epochs", "0"], "error: epochs must be a whole number from 1 to "),
    ("train_shapes.py", ["--model", "README.md/m.msgpack"], "error: cannot write README.md/"),
    ("train_mnist.py", ["--mnist-files", "docs", "--data-dir", "nowhere"], "error: docs lacks train-images-idx3"),
    ("export_mnist.py", ["--mnist-files", "docs", "--data-dir", "nowhere"], "error: docs lacks train-images-idx3"),
    ("describe_model.py", ["README.md"], "error: README.md is not a model: fetch"),
    ("train_folder.py", ["nowhere"], "error: nowhere is not a folder"),
    ("train_shapes.py", ["--seed", "-1"], "error: seed must be a whole number from 0 to 4,294,967,295, got -1"),
    ("train_shapes.py", ["--resume", "--run-dir", "nowhere"], "error: nowhere holds no run to resume"),
    ("draw_shapes.py", ["--number", "-1"], "error: --number"),
    (
        "draw_shapes.py",
        ["--number", str(10**20)],
        f"error: --number must be at most 10,000, the size of the split, got {10**20}",
    ),
]

SCRIPTS = [path.name for path in sorted((ROOT / "scripts").glob("*.py"))]

SEVERAL = """
import contextlib, io, json, runpy, sys

ends = []
for script, *arguments in json.loads(sys.argv[1]):
    sys.argv = [f"scripts/{script}", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            ends.append([end.code, errors.getvalue()])
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def ends():
    """Exit status and standard error of scripts with arguments at fault, by both, one after the other in a process.

    Most of the time of each would be its imports.
    """
    commands = [(script, *arguments) for script, arguments, _ in AT_FAULT] + [(name, "--unknown") for name in SCRIPTS]
    command = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, json.loads(done.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("script", "arguments", "message"), AT_FAULT)
def test_input_at_fault_ends_with_one_line_and_status_1(script, arguments, message, ends):
    status, errors = ends[script, *arguments]
    assert status == 1
    assert errors.startswith(message)
    assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_wrong_arguments_end_with_status_2(script, ends):
    assert ends[script, "--unknown"][0] == 2


def test_a_picture_that_is_none_ends_with_status_1_and_its_row(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    status, _, errors = run("predict.py", "--data", tmp_path / "text.png", "--output", tmp_path / "out")
    assert status == 1
    assert "none of the images" in errors
    assert "not an image" in (tmp_path / "out/predictions.csv").read_text()


def test_describe_model_tells_what_the_committed_models_hold():
    status, output, errors = run("describe_model.py", SHAPES_MODEL, SHAPES_MODEL.with_name("mnist.msgpack"))
    assert status == 0, errors
    assert "64x64x1 images, 9 classes" in output
    assert "circle, ellipse, square" in output
    assert "28x28x1 images, 10 classes" in output
    assert f"{load_model(SHAPES_MODEL).metrics['evaluation']['accuracy']:.2%}" in output


@pytest.mark.parametrize(
    "evaluation",
    [{"accuracy": 10**400, "n": 1, "accuracy_interval": [0, 1]}, {"accuracy": 0.5}, [1], "text", {"n": -(10**400)}],
)
def test_describe_model_tells_what_it_can_of_metrics_of_another_form(tmp_path, monkeypatch, capsys, evaluation):
    model = tmp_path / "m.msgpack"
    save_model(model, small_classifier([f"class {i}" for i in range(1000)], metrics={"evaluation": evaluation}))
    monkeypatch.setattr(sys, "argv", ["describe_model.py", str(model)])
    assert describe_model.main() == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "class 49 and 950 more" in output
    assert "its metrics have another form" in output
    assert len(output) < 1000


@pytest.mark.parametrize(
    ("clean", "told"),
    [
        (
            {"n": 40, "accuracy": 0.45},
            "20 of these have copies, or images of their group, in the training or validation images; 45.00% on",
        ),
        ({"n": 0}, "60 of these have copies, or images of their group, in the training or validation images\n"),
    ],
)
def test_describe_model_tells_of_copies_among_the_evaluated_images(tmp_path, monkeypatch, capsys, clean, told):
    tried = {"accuracy": 0.5, "n": 60, "accuracy_interval": [0.4, 0.6]}
    for name, more in (("with", {"without_leaks": clean}), ("without", {})):
        save_model(tmp_path / name, small_classifier(metrics={"evaluation": {**tried, **more}}))
        monkeypatch.setattr(sys, "argv", ["describe_model.py", str(tmp_path / name)])
        assert describe_model.main() == 0
        output = capsys.readouterr().out
        assert "n = 60)" in output
        assert (told in output) == (name == "with")


@pytest.mark.slow
def test_finite_weights_that_give_no_numbers_end_every_command_with_one_line(tmp_path):
    save_model(tmp_path / "m.msgpack", small_classifier(fill=-1.0))  # as variances, which have no root
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("L", (16, 16)).save(tmp_path / "images" / name / "0.png")
    model, images = tmp_path / "m.msgpack", tmp_path / "images"
    for data in (images, images / "a", images / "a/0.png"):  # with labels, and without
        status, output, errors = run("predict.py", "--model", model, "--data", data, "--output", tmp_path / "out")
        assert (status, output) == (1, "")
        assert re.fullmatch(rf"error: {model} gives nan or infinity for these images, .*\n", errors)
        assert not [*(tmp_path / "out").iterdir()]
    status, output, errors = run("compare_models.py", SHAPES_MODEL, model, "--data", images)
    assert (status, errors.count("\n")) == (1, 1)


@pytest.mark.slow
def test_exported_mnist_is_predicted_as_the_model_was_evaluated(tmp_path, mnist_data_dir):
    status, _, errors = run("export_mnist.py", f"--data-dir={mnist_data_dir}", f"--output={tmp_path / 'm.npz'}")
    assert status == 0, errors
    model = SHAPES_MODEL.with_name("mnist.msgpack")
    status, _, errors = run("predict.py", "--model", model, "--data", tmp_path / "m.npz", "--output", tmp_path / "out")
    assert status == 0, errors
    metrics, trained = json.loads((tmp_path / "out/metrics.json").read_text()), load_model(model).metrics["evaluation"]
    assert metrics["n"] == 10_000
    # The model was evaluated on the processor it was trained on: a digit on the edge may fall to the other side here.
    assert metrics["accuracy"] == pytest.approx(trained["accuracy"], abs=2e-4)
    assert metrics["log_loss"] == pytest.approx(trained["log_loss"], rel=1e-3)
    assert metrics["ece"] <= 0.01 < metrics["uncalibrated"]["ece"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "application"),
    [
        ("--upload-pack=touch {}", "https://example.org/application"),
        ("-oProxyCommand=touch {}", "/nowhere/application.git"),
        ("/nowhere/library.git", "--receive-pack=touch {}"),
    ],
)
def test_a_url_is_no_option_of_git(tmp_path, library, application):
    touched = tmp_path / "touched"
    addresses = [
        f"--{name}={url.format(touched)}" for name, url in (("library", library), ("application", application))
    ]
    status, _, errors = run("publish_repos.py", *addresses)
    assert status == 1
    assert re.fullmatch(r"error: git takes -.* for an option: name a URL, or a folder that is there\n", errors)
    assert not touched.exists()


def test_import_is_light():
    code = (
        "import sys, ai_library; "
        "print(sorted({'tensorflow', 'tensorflow_datasets', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
