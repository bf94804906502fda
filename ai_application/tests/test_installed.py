"""The application's wheel and sdist and the library's wheel, built, and installed where no clone is in reach."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ai_application.tests.environments import Environment

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "check-data",
    "compare-models",
    "describe-model",
    "draw-shapes",
    "export-mnist",
    "predict",
    "serve",
    "study",
    "train-folder",
    "train-mnist",
    "train-shapes",
)
PYTHON = ("*.py", "*.pyi", "py.typed")
DATA = ("*.msgpack", "reporting/*.css", "reporting/*.html", "page-parts/*", "evaluation/shapes/*/*.png")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("build", "setuptools"))), reason="build or setuptools is not installed"
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The application's sdist and the wheel made of it, and the library's wheel, from a folder of another name."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".git", "mnist.npz")
    for name in ("ai_library", "ai_application"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(source / "ai_library", source / "lib")
    for folder, form in ((source, ()), (source / "lib", ("--wheel",))):
        command = [sys.executable, "-m", "build", "--no-isolation", *form, "--outdir", dist, folder]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "would be ignored" not in done.stdout + done.stderr
    return {path.name.split("-")[0] + path.suffix: path for path in dist.iterdir()}


@pytest.fixture(scope="module")
def application(built, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("application"), built["ai_application.whl"])


def names_of(folder, patterns):
    """The files of a package, from the folder that it stands in."""
    paths = [path for pattern in patterns for path in (ROOT / folder).rglob(pattern)]
    return {str(path.relative_to(ROOT)) for path in paths if "tests" not in path.parts}


def test_wheel_and_sdist_hold_both_packages_the_models_and_the_evaluation_images(built):
    expected = {name for folder in ("ai_library", "ai_application") for name in names_of(folder, PYTHON + DATA)}
    assert sum(name.endswith(".png") for name in expected) == 450
    assert sum(name.endswith(".msgpack") for name in expected) == 2
    with zipfile.ZipFile(built["ai_application.whl"]) as wheel:
        in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())
    assert in_wheel == expected
    with tarfile.open(built["ai_application.gz"]) as sdist:
        assert expected | {"LICENSE", "README.md", "pyproject.toml"} <= {
            name.partition("/")[2] for name in sdist.getnames()
        }


def test_the_librarys_wheel_holds_the_library_alone(built):
    with zipfile.ZipFile(built["ai_library.whl"]) as wheel:
        in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())
    assert in_wheel == names_of("ai_library", PYTHON + DATA)


@pytest.fixture(scope="module")
def helps(application, tmp_path_factory):
    """What the installed commands print, asked for help one after the other in a process: most of it is imports."""
    code = """
import contextlib, io, json, runpy, sys
from pathlib import Path

helps = []
for name in sys.argv[1:]:
    sys.argv = [str(Path(sys.executable).with_name(name)), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            assert end.code == 0, name
    helps.append(output.getvalue())
print(json.dumps(helps))
"""
    names = [f"ai-{name}" for name in COMMANDS]
    printed = application.run("python", "-c", code, *names, folder=tmp_path_factory.mktemp("empty"))
    return dict(zip(COMMANDS, json.loads(printed), strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_what_it_does(helps, name):
    assert f"ai-{name}" in helps[name]


def test_the_committed_model_predicts_the_committed_images_from_any_folder(application, tmp_path):
    """Of the sdist as well: the wheel was made of it."""
    application.run("ai-predict", "--output", "out", folder=tmp_path)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["n"] == 450
    assert metrics["accuracy"] > 0.98


def test_the_models_are_found_after_the_folder_changed(application, tmp_path):
    code = """
import os, sys
import ai_application, ai_library
from ai_application import EVALUATION, MODELS
os.chdir("/")
print(ai_library.load_model(MODELS / "shapes.msgpack").class_names[0], (EVALUATION / "shapes/star").is_dir())
print(all(module.__file__.startswith(sys.prefix) for module in (ai_application, ai_library)))
"""
    assert application.run("python", "-c", code, folder=tmp_path).split() == ["circle", "True", "True"]


@pytest.mark.usefixtures("quickly_compiled")
def test_the_library_alone_trains_on_shapes(built, tmp_path):
    code = """
import importlib.metadata, importlib.util, sys
import ai_library
from ai_library import CNN, ShapeDataSource, TrainConfig, Trainer, evaluate

source = ShapeDataSource(image_size=16, class_names=("star", "circle"), sizes=(64, 16, 24))
model = CNN(num_classes=2, features=(4,) * 5, dense=4)
report = evaluate(Trainer(model, source, TrainConfig(epochs=1, batch_size=8), verbose=False).fit(), source)
print(report.n, importlib.util.find_spec("ai_application"), ai_library.__file__.startswith(sys.prefix))
print(ai_library.__version__ == importlib.metadata.version("ai-library"))
"""
    environment = Environment(tmp_path / "environment", built["ai_library.whl"])
    assert environment.run("python", "-c", code, folder=tmp_path).split() == ["24", "None", "True", "True"]
    assert list(tmp_path.glob("runs/*/history.csv"))
