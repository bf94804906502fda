"""The public names, which are imported when they are first asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ai_library

ROOT = Path(__file__).resolve().parents[2]


def test_every_public_name_can_be_imported_and_is_listed():
    names = {}
    exec("from ai_library import *", names)
    assert set(ai_library.__all__) <= names.keys()
    assert set(ai_library.__all__) <= set(dir(ai_library))
    assert "load_model" in names
    assert names["CNN"] is ai_library.CNN


def test_type_checkers_see_the_same_names_from_the_same_modules():
    (block,) = (node for node in ast.parse(Path(ai_library.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {alias.asname: (line.module, alias.name) for line in block.body for alias in line.names}
    assert seen == {name: (module, name) for name, module in ai_library._MODULES.items()}


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'ai_library' has no attribute 'Model'"):
        _ = ai_library.Model
    with pytest.raises(ImportError, match="cannot import name 'Model' from 'ai_library'"):
        from ai_library import Model  # noqa: F401


def test_importing_the_library_imports_no_other():
    code = (
        "import sys; before = {*sys.modules}; import ai_library; "
        "print({name.partition('.')[0] for name in {*sys.modules} - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'ai_library'}"
