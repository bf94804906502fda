"""What only a part of the library needs may be missing: the rest works, and that part says what to install."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ai_library import load_model

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = {"PIL": "pillow", "pillow_heif": "pillow-heif", "sklearn": "scikit-learn", "markupsafe": "jinja2"}
"""Of the packages that have another name there; the last comes with jinja2."""
OPTIONAL = (
    *("jinja2", "flatbuffers", "markupsafe", "matplotlib", "onnx", "onnxruntime", "sklearn", "tensorboard"),
    "tensorboardX",
)
WITHOUT = f"import sys\nsys.modules |= dict.fromkeys({OPTIONAL})\n"
LIFE = """
from ai_library import CNN, ShapeDataSource, TrainConfig, Trainer, evaluate, load_model, save_model

source = ShapeDataSource(image_size=16, class_names=("star", "circle"), sizes=(64, 16, 24))
network = CNN(num_classes=2, features=(4,) * 5, dense=4)
Trainer(network, source, TrainConfig(epochs=1, batch_size=8), "run").fit()
classifier = Trainer(network, source, TrainConfig(epochs=2, batch_size=8), "run").fit(resume=True)
save_model("shapes.msgpack", classifier)
report = evaluate(load_model("shapes.msgpack"), source)
print(report.n, report._repr_html_(), source._repr_html_())
images, _ = source.examples("evaluation", range(3))
assert (classifier.predict(images) == report.probabilities[:3].argmax(axis=1)).all()
"""
"""A model's life, and how many images it evaluated and that neither its report nor its source can be shown."""
NEEDING = {
    "import ai_library.reporting.page": ("jinja2", "report"),
    "import ai_library.laboratory.study_page": ("jinja2", "report"),
    "from ai_library import ImageClassifier": ("sklearn", "sklearn"),
    "ai_library.export_onnx('m', small_classifier())": ("onnx", "export"),
    "ai_library.export_stablehlo('m', small_classifier())": ("flatbuffers", "export"),
    "ai_library.ShapeDataSource().show()": ("matplotlib", "report"),
    "from ai_library.data.preview import source_html as f; f(ai_library.ShapeDataSource())": ("jinja2", "report"),
    "from ai_library.evaluation.figures import confusion_figure as f; f(None)": ("matplotlib", "report"),
}
"""Code that cannot do without an optional package, with that package and the extra that brings it."""
MESSAGES = f"""
import json
import ai_library
from ai_library.tests.model_files import small_classifier

messages = {{}}
for needing in {[*NEEDING]}:
    try:
        exec(needing)
    except ai_library.InputError as error:
        assert isinstance(error, ImportError)
        messages[needing] = str(error)
print(json.dumps(messages))
"""
"""What each of these tells."""


def run_without(code, folder):
    """Standard output of a program in which the optional packages can't be imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-W", "error", "-c", WITHOUT + code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """The folder and the lines of one process that does all this, since importing JAX takes longer than most of it."""
    folder = tmp_path_factory.mktemp("without")
    return folder, run_without(LIFE + MESSAGES, folder).splitlines()


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_a_model_is_trained_resumed_saved_read_and_evaluated_without_any_extra(life):
    folder, lines = life
    assert lines[-2] == "24 None None"
    assert len((folder / "run/history.csv").read_text().splitlines()) == 3  # the names, and an epoch each
    assert json.loads((folder / "run/config.json").read_text())["train"]["epochs"] == 2
    assert {path.name for path in (folder / "run").iterdir()} == {"checkpoints", "config.json", "history.csv"}
    assert load_model(folder / "shapes.msgpack").class_names == ("star", "circle")


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_one_line_a_run_tells_that_there_are_no_curves_and_what_brings_them(life):
    told = [line for line in life[1] if "TensorBoard" in line]
    assert len(told) == 2  # it ran twice
    assert "tensorboardX and matplotlib" in told[0]
    assert "'ai-library[tensorboard]'" in told[0]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("needing", NEEDING)
def test_what_needs_an_extra_says_which(needing, life):
    package, extra = NEEDING[needing]
    message = json.loads(life[1][-1])[needing]
    assert f"the package {package}, which is not installed" in message
    assert f"install 'ai-library[{extra}]'" in message


def imported():
    """The distributions that the library's modules import."""
    modules = [path for path in FOLDER.rglob("*.py") if path.relative_to(FOLDER).parts[0] != "tests"]
    nodes = [node for path in modules for node in ast.walk(ast.parse(path.read_text()))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    packages = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    return {DISTRIBUTIONS.get(package, package) for package in packages}


@pytest.mark.slow
def test_the_library_asks_for_what_it_imports_and_for_nothing_else():
    with open(FOLDER / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]

    def named(*lists):
        return {re.match(r"[\w-]+", requirement)[0] for requirements in lists for requirement in requirements}

    optional = named(*(extras[name] for name in ("heic", "export", "fast", "report", "sklearn", "tensorboard")))
    assert optional == {
        *("flatbuffers", "jinja2", "matplotlib", "onnx", "onnxruntime", "pillow-heif", "scikit-learn", "tensorboardX")
    }
    needed = imported()
    assert named(project["dependencies"]) == (needed - optional) | {"jaxlib"}  # whose versions are jax's compiler
    assert optional <= needed
