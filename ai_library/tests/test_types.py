"""The types of the installed library, as mypy and pyright see them in a user's program."""

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import ai_library

PROGRAM = Path(__file__).with_name("user_program.py")
LEFT_OPEN = {
    "ai_library.ImageClassifier",  # scikit-learn, whose classes are its bases, has no types
    "ai_library.training.estimator.ImageClassifier",
    "ai_library.training.estimator.ImageClassifier.__sklearn_tags__",
    "ai_library.networks.layers.conv3x3",  # nor has `jax.custom_vjp` in JAX 0.10
    "ai_library.networks.layers.batch_norm_relu",
}
"""Public names whose types other packages do not tell."""
# optax has no py.typed. The others come along with the packages that are imported, and no public name has their types.
MYPY = """
[mypy]
[mypy-optax.*]
follow_untyped_imports = True
[mypy-IPython.*,jaxlib.mlir.*,onnx.*,prompt_toolkit.*,rich.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment that has the library installed, and beside it what this one has."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    left_out = shutil.ignore_patterns("tests", "__pycache__", ".git")
    shutil.copytree(Path(ai_library.__file__).parent, packages / "ai_library", ignore=left_out)
    return environment / "bin/python"


@pytest.fixture
def program(tmp_path):
    return shutil.copy(PROGRAM, tmp_path)


def run(*command, folder, **environment):
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_the_program_uses_every_public_name():
    imports = [node for node in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(node, ast.ImportFrom)]
    used = {alias.name for node in imports if node.module == "ai_library" for alias in node.names}
    assert used == set(ai_library.__all__)


@pytest.mark.slow
def test_a_program_passes_mypy_at_its_strictest(python, program, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(MYPY)
    checker = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--python-executable", python]
    status, output = run(*checker, program, folder=tmp_path)
    assert status == 0, output


@pytest.mark.slow
def test_a_program_passes_pyright(python, program, tmp_path):
    pytest.importorskip("pyright")
    status, output = run(sys.executable, "-m", "pyright", "--pythonpath", python, program, folder=tmp_path)
    assert status == 0, output


@pytest.mark.slow
def test_every_public_name_has_all_of_its_types(python, tmp_path):
    pytest.importorskip("pyright")
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # here pyright asks the first Python on it
    checker = [sys.executable, "-m", "pyright", "--verifytypes", "ai_library", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(checker, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    symbols = [symbol for symbol in json.loads(done.stdout)["typeCompleteness"]["symbols"] if symbol["isExported"]]
    assert len(symbols) > 500
    open_ones = {symbol["name"]: symbol["diagnostics"] for symbol in symbols if not symbol["isTypeKnown"]}
    assert open_ones.keys() <= LEFT_OPEN, json.dumps(open_ones, indent=1)


@pytest.mark.slow
def test_the_program_runs(python, program, tmp_path):
    quickly = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # nearly all of the time is that of LLVM
    status, output = run(python, "-W", "error", program, folder=tmp_path, **quickly)
    assert status == 0, output
