"""The public names, which are imported when they are first asked for."""

import ast
import dataclasses
import doctest
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import ai_library

ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = ("CORRUPTIONS", "NETWORKS", "SHAPES")


def test_every_public_name_can_be_imported_and_is_listed():
    names = {}
    exec("from ai_library import *", names)
    assert set(ai_library.__all__) <= names.keys()
    assert set(ai_library.__all__) <= set(dir(ai_library))
    assert "load_model" in names
    assert names["CNN"] is ai_library.CNN


def test_the_one_list_is_what_type_checkers_read_and_is_in_order():
    body = ast.parse(Path(ai_library.__file__).with_suffix(".pyi").read_text()).body
    lines = [line for line in body if isinstance(line, ast.ImportFrom)]
    assert [ast.unparse(line) for line in body if line not in lines] == ["__version__: str"]
    names = [(line.module, alias.name, alias.asname) for line in lines for alias in line.names]
    assert all(name == as_name for _, name, as_name in names)  # only then they are public, for type checkers
    assert sorted(name for _, name, _ in names) == ai_library.__all__
    assert names == sorted(names)


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="ai_library attribute Model"):
        _ = ai_library.Model
    with pytest.raises(ImportError, match="cannot import name 'Model' from 'ai_library'"):
        from ai_library import Model  # noqa: F401


def test_importing_the_library_imports_no_other():
    code = (
        "import sys; before = {*sys.modules}; import ai_library; "
        "print({name.partition('.')[0] for name in {*sys.modules} - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert eval(done.stdout) == {"ai_library", "lazy_loader"}


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_every_public_name_has_an_example_that_gives_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    names = runpy.run_path(str(Path(__file__).with_name("reference_objects.py")))
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for name in sorted({*ai_library.__all__} - {*CONSTANTS}):
        found = finder.find(getattr(ai_library, name), name, module=False, globs=names)
        assert any(each.examples for each in found), f"{name} has no example"
        for each in found:
            runner.run(each)
    assert runner.summarize(verbose=False).failed == 0


def own_fields(kind):
    """The fields that a dataclass or a named tuple adds to its bases'."""
    if hasattr(kind, "_fields"):
        return set(kind._fields)
    bases = [base for base in kind.__mro__[1:] if dataclasses.is_dataclass(base)]
    inherited = {field.name for base in bases for field in dataclasses.fields(base)}
    return {field.name for field in dataclasses.fields(kind)} - inherited - {"parent", "name"}  # linen's own two


def test_the_docstring_of_every_public_record_says_what_each_field_is():
    """`help` shows no text that stands below a field."""
    kinds = [kind for name in ai_library.__all__ if isinstance(kind := getattr(ai_library, name), type)]
    records = [kind for kind in kinds if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")]
    assert len(records) >= 8
    for kind in records:
        silent = [field for field in own_fields(kind) if not re.search(rf"^\s+{field}: ", kind.__doc__, re.M)]
        assert not silent, f"{kind.__name__} does not say what these are: {silent}"
