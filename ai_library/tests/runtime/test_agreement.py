"""What differs between processes is named in all of them, in one line."""

import json
import threading

import pytest

from ai_library import CNN, InputError
from ai_library.runtime import agreement
from ai_library.tests import own_networks


def in_processes(monkeypatch, *functions):
    """What each of several processes, here threads, returns or raises."""
    own, barrier, sent, outcomes = threading.local(), threading.Barrier(len(functions)), {}, {}

    def all_gather(value):
        sent[own.index] = value
        barrier.wait()
        return [sent[index] for index in range(len(functions))]

    def run(index, function):
        own.index = index
        try:
            outcomes[index] = function()
        except InputError as error:
            outcomes[index] = str(error)

    monkeypatch.setattr(agreement, "all_gather", all_gather)
    monkeypatch.setattr(agreement, "process_count", lambda: len(functions))
    threads = [threading.Thread(target=run, args=each) for each in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[index] for index in range(len(functions))]


def alike(monkeypatch, *told):
    """The one line of all processes that tell this; None where they are alike."""
    functions = [lambda each=each: agreement.check_alike(lambda: each) for each in told]
    (line,) = set(in_processes(monkeypatch, *functions))
    return line


def test_what_is_alike_passes(monkeypatch):
    assert alike(monkeypatch, {"a": {"b": [1, 2]}}, {"a": {"b": (1, 2)}}, {"a": {"b": [1, 2]}}) is None


@pytest.mark.parametrize(
    ("first", "other", "difference"),
    [
        ({"model": "12ab"}, {"model": "34cd"}, 'model is "12ab" in the first and "34cd" in the other'),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": None}}}, "a.b.c is 1 in the first and null in the other"),
        (
            {"a": 1},
            {"b": 1},
            "a is 1 in the first and absent in the other; b is absent in the first and 1 in the other",
        ),
        (
            {"a": {}},
            {"a": {"b": False}},
            "a is {} in the first and absent in the other; a.b is absent in the first and ",
        ),
        ({"a": "x" * 999}, {"a": 1}, f'a is "{"x" * 76}... in the first and 1 in the other'),
        ({"\x1b[2J": "\n"}, {}, r' \x1b[2J is "\n" in the first and absent in the other'),
    ],
)
def test_what_differs_is_named(monkeypatch, first, other, difference):
    line = alike(monkeypatch, first, first, other)
    assert line.startswith(
        "all processes need the same code, model, data and settings, but process 2 of 3 differs from the first: "
    )
    assert difference in line
    assert line.isprintable()


def test_what_one_of_them_cannot_tell_is_told_by_all(monkeypatch):
    def fails():
        raise InputError("photos does not exist")

    lines = in_processes(monkeypatch, lambda: agreement.all_told(lambda: 1), lambda: agreement.all_told(fails))
    assert lines == ["process 1 of 2 says: photos does not exist", "photos does not exist"]


def test_a_process_that_is_alone_is_not_asked():
    agreement.check_alike(lambda: 1 / 0)


def test_code_is_told_from_other_code(monkeypatch, tmp_path):
    version = agreement.code_version(CNN, own_networks.Linear)
    assert version == json.loads(json.dumps(agreement.code_version(CNN, own_networks.Linear)))
    assert {"ai_library", "Python", "jax", "numpy", "Linear"} <= version.keys()
    copy = tmp_path / "own_networks.py"
    copy.write_text("changed")
    monkeypatch.setattr(own_networks, "__file__", str(copy))
    changed = agreement.code_version(CNN, own_networks.Linear)
    assert {name for name in version if version[name] != changed[name]} == {"Linear"}
    (tmp_path / "package/data").mkdir(parents=True)
    (tmp_path / "package/data/__init__.py").touch()
    monkeypatch.setattr(agreement, "_PACKAGE", tmp_path / "package")
    (tmp_path / "package/data/images").mkdir()
    (tmp_path / "package/data/images/a.py").write_text("a = 1")
    first = agreement.code_version()["ai_library"]
    (tmp_path / "package/data/images/a.py").write_text("a = 2")
    assert agreement.code_version()["ai_library"] not in (first, version["ai_library"])
