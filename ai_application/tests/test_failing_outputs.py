"""Commands whose output fails, or that a signal ends at any point of their work: the work is done, or can go on."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_application.tests.test_start import failing_output
from ai_library import save_model
from ai_library.tests import own_networks
from ai_library.tests.model_files import small_classifier
from ai_library.tests.processes import without_progress

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quickly_compiled"),
    pytest.mark.skipif(os.name != "posix", reason="outputs as POSIX has them"),
]

# Runs a command of few and small data; gets a signal where one of the functions that it calls is called.
CHILD = """
import signal, sys
from ai_application.start import start
def load():
    name, place, number = sys.argv[1:4]
    sys.argv = [f"scripts/{name}.py", *sys.argv[4:]]
    import importlib
    command = importlib.import_module(f"ai_application.commands.{name}")
    if name == "train_shapes":
        from ai_library import ShapeDataSource
        command.ShapeDataSource = lambda **options: ShapeDataSource(**options, image_size=16, sizes=(64, 16, 24))
        from ai_library.training import run_directory  # figures take a quarter of the time: train_folder draws them
        run_directory._FOR_CURVES = ("a package that nobody has",)
    if place:
        from ai_application import training_run
        real = getattr(training_run, place)
        def signalled(*arguments, **options):
            signal.raise_signal(int(number))
            return real(*arguments, **options)
        setattr(training_run, place, signalled)
    return command.main
sys.exit(start(load))
"""
EPOCHS = ["--epochs", "1", "--network", f"{own_networks.__file__}:Linear"]


def command(name, *arguments, place="", number=0):
    return [sys.executable, "-c", CHILD, name, place, str(int(number)), *map(str, arguments)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """20 images of each of two classes, one of which ASCII cannot name; one image's name is hostile."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for index in range(40):
        path = folder / ("ants", "圆")[index % 2] / (f"{index}.png" if index else "\x1b[31m\udcff.png")
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(path, format="PNG")
    return folder


def training(images, folder):
    options = ["--image-size", 16, "--channels", 1, *EPOCHS]
    return ["train_folder", images, *options, "--model", folder / "圆.msgpack", "--run-dir", folder / "run"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "圆.msgpack"
    save_model(path, small_classifier(("ants", "圆")))
    return path


def run(kind, words):
    """Runs a command with an output of a kind; returns its exit status and what could be read of it."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    which, _, how = kind.partition(" ")
    if which == "terminal":
        return run_on_terminal(words)
    if how == "ASCII":
        variables = {"PYTHONIOENCODING": "ascii:strict"}
    else:
        variables = {}
        numbers = {"stdout": 1, "stderr": 2}
        failing = numbers if which == "both" else [which]
        if how == "closed":
            words = ["sh", "-c", f'exec "$@" {" ".join(f"{numbers[name]}>&-" for name in failing)}', "sh", *words]
        else:
            streams.update({name: failing_output(how) for name in failing})
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **variables}, **streams)
    return done.returncode, (done.stdout or b"") + (done.stderr or b"")


def run_on_terminal(words):
    """The terminal vanishes once something was printed; as after `nohup` the command is not told so."""
    ours, theirs = os.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    words = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *words]
    process = subprocess.Popen(words, cwd=ROOT, start_new_session=True, **streams)
    os.close(theirs)
    said = os.read(ours, 1)
    os.close(ours)
    return process.wait(), said


TRAINED = {"report.html", "metrics.json", "history.csv", "config.json", "checkpoints"}
# What is done about an output is the same for all commands: test_start.py has every kind of it.
FEW = ["both closed", "both full", "both pipe", "both ASCII", "terminal gone"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("train_folder", kind) for kind in ("both closed", "both ASCII", "terminal gone")),
        *(("train_shapes", kind) for kind in ("both full", "both pipe")),
    ],
)
def test_a_training_ends_well_whatever_becomes_of_its_output(name, kind, images, tmp_path):
    words = training(images, tmp_path)
    if name == "train_shapes":
        words = [name, *EPOCHS, *words[-4:]]
    status, said = run(kind, command(*words))
    assert status == 0, said
    assert b"Traceback" not in said
    assert {path.name for path in (tmp_path / "run").iterdir()} >= TRAINED
    assert (tmp_path / "圆.msgpack").exists()


@pytest.mark.parametrize("kind", [*FEW, "stdout closed", "stderr full"])
def test_predictions_are_there_whatever_becomes_of_the_output(kind, images, model, tmp_path):
    status, said = run(kind, command("predict", "--model", model, "--data", images, "--output", tmp_path / "圆"))
    assert status == 0, said
    assert b"\x1b" not in said
    assert {"predictions.csv", "report.html", "metrics.json"} <= {path.name for path in (tmp_path / "圆").iterdir()}
    status, said = run(kind, command("predict", "--model", f"{images}/\x1b[31m\udcff", "--output", tmp_path / "out"))
    assert status == 1
    assert b"\x1b" not in said


@pytest.mark.parametrize("kind", FEW)
def test_a_description_and_a_comparison_end_well_whatever_becomes_of_their_output(kind, images, model, tmp_path):
    hostile = tmp_path / "\x1b[2J\udcff\r圆"
    os.link(model, hostile)
    for words in (["describe_model", hostile], ["compare_models", model, hostile, "--data", images]):
        status, said = run(kind, command(*words))
        assert status == 0, said
        assert not {*said} & {0x1B, 0x0D} - ({0x0D} if kind == "terminal gone" else set())


def test_a_signal_after_the_training_tells_how_to_go_on(images, tmp_path):
    """At the model and at the page; each end is gone on from."""
    ends = {"save_model": signal.SIGTERM, "write_findings": signal.SIGINT}
    words = training(images, tmp_path)
    told = ["python", "scripts/train_folder.py", *map(str, words[1:]), "--resume"]
    done = subprocess.run(command(*words, place="check_writable", number=signal.SIGINT), cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, b"interrupted\n")  # there is no checkpoint yet
    for place, number in ends.items():
        done = subprocess.run(command(*words, place=place, number=number), cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 128 + number, done.stderr
        assert shlex.split(done.stderr.splitlines()[-1]) == ["interrupted;", "go", "on", "with:", *told]
        words = [words[0], *told[2:]]
        assert not list(tmp_path.rglob(".*"))
    done = subprocess.run([sys.executable, *told[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_model_that_could_not_be_replaced_is_found_out_before_the_training(images, tmp_path):
    words = training(images, tmp_path)
    (tmp_path / "圆.msgpack").mkdir()
    started = time.monotonic()
    done = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, without_progress(done.stderr).count("\n")) == (1, 1)
    assert "圆.msgpack: it is a folder; choose a place that can be written to" in done.stderr
    assert not (tmp_path / "run").exists()
    assert time.monotonic() - started < 60
