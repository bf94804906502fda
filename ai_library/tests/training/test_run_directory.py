"""A run goes on in its own folder, from a checkpoint that holds what checkpoints hold, with the same data."""

import copy
import hashlib
import json
import re
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_library import Augmentation, InputError
from ai_library.training.checkpoints import FORMAT
from ai_library.training.run_directory import RunDirectory

PER_EPOCH = 5
TREE = {"weights": np.arange(3, dtype=np.float32)}
SETTINGS = {
    "train": {"epochs": 3, "seed": 0},
    "source": {"seed": 0, "contents": {"train": "0123", "validation": "4567"}},
}
OFF = asdict(Augmentation())
ROW = {
    "epoch": 1,
    "step": PER_EPOCH,
    "train_loss": 0.5,
    "train_accuracy": 0.75,
    "validation_loss": 0.4,
    "validation_accuracy": 0.8,
    "temperature": 1.5,
}
RECORD = {"step": 7, "loss": 0.25, "correct": 9, "history": [ROW], "stopped": False}


def save(run, step=7):
    run.save({**RECORD, "step": step}, TREE)


@pytest.fixture
def run_dir(tmp_path):
    """A folder with one checkpoint."""
    with RunDirectory.opened(tmp_path / "run", SETTINGS) as run:
        save(run)
    return tmp_path / "run"


def resumed(run_dir, new=SETTINGS):
    with RunDirectory.opened(run_dir, new, resume=True) as run:
        return run.restore(TREE, PER_EPOCH)


def checkpoints(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def test_it_gives_back_what_was_saved(run_dir):
    record, tree = resumed(run_dir)
    assert record == RECORD
    np.testing.assert_array_equal(tree["weights"], TREE["weights"])


@pytest.mark.parametrize("act", ["save", "history", "end"])
@pytest.mark.parametrize("change", ["removed", "moved", "begun anew"])
def test_a_run_whose_folder_is_gone_ends_and_leaves_the_next_one_alone(tmp_path, act, change):
    path = tmp_path / "run"
    with RunDirectory.opened(path, SETTINGS) as first:
        save(first)
        path.rename(tmp_path / "moved") if change == "moved" else shutil.rmtree(path)
        if change == "begun anew":
            with RunDirectory.opened(path, SETTINGS) as second:
                save(second, 6)
        acts = {
            "save": lambda: save(first, 8),
            "history": lambda: first._write_history([ROW]),
            "end": lambda: first.log_end(ROW),
        }
        with pytest.raises(InputError, match="run was removed, moved or replaced while this process wrote into it"):
            acts[act]()
    if change == "begun anew":
        assert checkpoints(path) == ["0000000006.msgpack"]
        assert (path / "config.json").exists()
    else:
        assert not path.exists()


def rewritten(run_dir, change):
    """The path of its checkpoint, whose record was changed by a function, with a digest that fits."""
    path = run_dir / "checkpoints" / checkpoints(run_dir)[0]
    _, record, tree = FORMAT.read(path)
    FORMAT.write(path, change(copy.deepcopy(record)), tree)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: {**record, "later": 1}, "has the unexpected field 'later'"),
        (lambda record: {**record, "a\x1b[2Jb" * 99: 1}, r"has the unexpected field 'a\\x1b\[2Jba"),
        (lambda record: {name: value for name, value in record.items() if name != "loss"}, "lacks the field 'loss'"),
        (lambda record: {name: value for name, value in record.items() if name != "settings"}, "lacks the field 's"),
        (lambda record: {}, "lacks the field 'correct'"),
        (lambda record: {**record, "step": "7"}, "has step as str, which no run writes"),
        (lambda record: {**record, "step": 7.0}, "has step as 7.0, which"),
        (lambda record: {**record, "step": True}, "has step as True, which"),
        (lambda record: {**record, "step": -7}, "has step as -7, which"),
        (lambda record: {**record, "step": 10**400}, "has step as 1000000"),
        (lambda record: {**record, "step": 12}, "has 12 steps with 1 epochs of 5 steps"),
        (lambda record: {**record, "stopped": 0}, "has stopped as 0, which"),
        (lambda record: {**record, "step": 3, "history": [], "stopped": True}, "has 3 steps with 0 epochs"),
        (lambda record: {**record, "step": 22, "history": [ROW] * 4}, "has 22 steps with 4 epochs"),
        (lambda record: {**record, "history": {}}, "has history as dict, which"),
        (lambda record: {**record, "history": [7]}, "has row 1 of its history as int"),
        (
            lambda record: {**record, "history": [{**ROW, "f1": 0.5}]},
            "has the unexpected field 'f1' in row 1 of",
        ),
        (lambda record: {**record, "history": [{**ROW, "validation_accuracy": 1.5}]}, "has validation_accuracy as 1.5"),
        (lambda record: {**record, "history": [{**ROW, "temperature": 0.0}]}, "has temperature as 0.0 in row 1"),
        (lambda record: {**record, "history": [{**ROW, "epoch": 2}]}, "has 7 steps with 1 epochs"),
        (lambda record: {**record, "settings": []}, "has settings as list, which"),
    ],
)
def test_a_record_that_is_not_as_expected_is_named_in_one_line_and_kept(run_dir, change, message):
    path = rewritten(run_dir, change)
    with pytest.raises(InputError, match=f"{path.name} {message}.*: start a new run in another folder") as caught:
        resumed(run_dir)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert checkpoints(run_dir) == [path.name]


@pytest.mark.parametrize(
    ("old", "difference"),
    [
        ({}, 'train.epochs was absent, is now 3; train.seed was absent, is now 0; source.seed was absent, is now 0; '),
        ({**SETTINGS, "later": 1}, "later was 1, is now absent"),
        ({**SETTINGS, "train": 5}, "train was 5, is now absent; train.epochs was absent, is now 3"),
        ({**SETTINGS, "train": {"epochs": "3", "seed": 0}}, 'train.epochs was "3", is now 3'),
        ({**SETTINGS, "train": {"epochs": 3, "seed": "\x1b" * 10**5}}, r'train.seed was "(\\u001b)+'),
        ({**SETTINGS, "source": None}, "source was null, is now absent"),
        ({**SETTINGS, **{f"{i}": i for i in range(99)}}, "and 94 more"),
    ],
)  # fmt: skip
def test_settings_of_any_form_are_compared(run_dir, old, difference):
    rewritten(run_dir, lambda record: {**record, "settings": old})
    with pytest.raises(InputError, match=f"run cannot be resumed with other settings: .*{difference}") as caught:
        resumed(run_dir)
    assert len(str(caught.value)) < 900
    assert str(caught.value).isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def replaced(record, path, value):
    """The record with another value at a path of its own."""
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return record


paths = [[name] for name in (*RECORD, "settings", "later")]
paths += [["history", 0], *(["history", 0, name] for name in ROW), *(["settings", name] for name in SETTINGS)]
paths += [["settings", "train", "epochs"], ["settings", "source", "contents"]]


@pytest.mark.slow
@given(st.dictionaries(st.text(), json_values, max_size=3) | st.tuples(st.sampled_from(paths), json_values))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:.*does not tell which images")
def test_whatever_json_a_record_holds_it_is_a_run_or_one_line(run_dir, edit):
    path = run_dir / "checkpoints/0000000007.msgpack"
    whole = path.read_bytes()
    rewritten(run_dir, (lambda record: replaced(record, *edit)) if isinstance(edit, tuple) else lambda _: edit)
    line = ""
    try:
        record, _ = resumed(run_dir)
    except InputError as error:
        record, line = RECORD, str(error)
    path.write_bytes(whole)
    assert record.keys() == RECORD.keys()
    assert line.isprintable()


@pytest.mark.parametrize("depth", [90, 400, 950, 5_000, 100_000])
@pytest.mark.parametrize("place", ["settings", "train", "history", "later"])
@pytest.mark.filterwarnings("ignore:.*has a header that is not JSON")
def test_a_record_nested_beyond_measure_is_one_line(run_dir, place, depth):
    path = rewritten(run_dir, lambda record: {**record, "settings": {**SETTINGS, "train": 5}, "later": 7})
    data = path.read_bytes()
    nested = b'{"a":[' * depth + b"1" + b"]}" * depth
    length = int.from_bytes(data[12:16], "little")
    header = data[16 : 16 + length]
    header = {
        "settings": re.sub(rb'"settings": \{.*\}, ', b'"settings": ' + nested + b", ", header),
        "train": header.replace(b'"train": 5', b'"train": ' + nested),
        "history": re.sub(rb'"history": \[.*?\]', b'"history": [' + nested + b"]", header),
        "later": header.replace(b'"later": 7', b'"later": ' + nested),
    }[place]
    header = header if place == "later" else header.replace(b', "later": 7', b"")
    assert nested in header
    data = data[:12] + len(header).to_bytes(4, "little") + header + data[16 + length : -32]
    path.write_bytes(data + hashlib.sha256(data).digest())
    with pytest.raises(InputError, match="run") as caught:
        resumed(run_dir)
    assert len(str(caught.value)) < 900


def test_other_images_are_refused_and_named_by_their_split(run_dir):
    changed = copy.deepcopy(SETTINGS)
    changed["source"]["contents"]["validation"] = "89ab"
    wanted = (
        'other settings: images were changed, added or removed in: validation; source.contents.validation was "4567", '
        'is now "89ab"$'
    )
    with pytest.raises(InputError, match=wanted):
        resumed(run_dir, changed)


@pytest.mark.parametrize("kept", [{}, {"contents": "what an earlier version wrote"}])
def test_a_run_of_an_earlier_version_without_digests_goes_on_and_says_so_once(tmp_path, kept):
    with RunDirectory.opened(tmp_path / "run", {**SETTINGS, "source": {"seed": 0, **kept}}) as run:
        save(run)
    with (
        pytest.warns(UserWarning, match="run does not tell which images it was trained on: these are assumed"),
        RunDirectory.opened(tmp_path / "run", SETTINGS, resume=True) as run,
    ):
        save(run, 8)
    assert resumed(tmp_path / "run")[0]["step"] == 8
    assert json.loads((tmp_path / "run/config.json").read_text()) == SETTINGS


@pytest.mark.parametrize("name", ["checkpoints", "train", "lock/x", "config.json/x", "history.csv/x"])
def test_a_file_in_the_place_of_a_folder_or_the_reverse_is_named_when_the_run_begins(tmp_path, name):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with (
        pytest.raises(InputError, match=r"cannot write .*/run/(checkpoints|train|lock|config.json|history.csv)"),
        RunDirectory.opened(tmp_path / "run", SETTINGS) as run,
    ):
        run._open_curves(0, [])


def test_a_folder_among_the_checkpoints_does_not_end_the_run(tmp_path):
    with RunDirectory.opened(tmp_path / "run", SETTINGS) as run:
        (tmp_path / "run/checkpoints/0000000001.msgpack").mkdir()
        for step in (6, 7):
            save(run, step)
        with pytest.warns(UserWarning, match="0000000001.msgpack cannot be removed: "):
            save(run, 8)
    assert resumed(tmp_path / "run")[0]["step"] == 8


def test_the_latest_run_is_found_while_others_remove_their_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        with RunDirectory.opened(tmp_path / "runs" / name, SETTINGS) as run:
            save(run)
    (tmp_path / "runs/a/checkpoints/9.msgpack").symlink_to("what is not there any more")
    assert RunDirectory.latest_path().name == "b"


@pytest.mark.parametrize(("precision", "resumes"), [("float32", True), ("bfloat16", False)])
def test_a_setting_that_an_earlier_version_did_not_have_was_its_default(run_dir, precision, resumes):
    with_it = {**SETTINGS, "train": {**SETTINGS["train"], "precision": precision}}
    if resumes:
        assert resumed(run_dir, with_it)[0]["step"] == 7
    else:
        with pytest.raises(InputError, match='other settings: train.precision was "float32", is now "bfloat16"$'):
            resumed(run_dir, with_it)


@pytest.mark.parametrize(("flip", "resumes"), [(0.0, True), (0.5, False)])
def test_an_augmentation_that_an_earlier_version_did_not_have_was_off(tmp_path, flip, resumes):
    before = {**SETTINGS, "train": {**SETTINGS["train"], "augmentation": {"shift": 3.0}}}
    with RunDirectory.opened(tmp_path / "run", before) as run:
        save(run)
    now = {**SETTINGS, "train": {**SETTINGS["train"], "augmentation": {**OFF, "shift": 3.0, "flip": flip}}}
    if resumes:
        assert resumed(tmp_path / "run", now)[0]["step"] == 7
    else:
        with pytest.raises(InputError, match="other settings: train.augmentation.flip was 0.0, is now 0.5$"):
            resumed(tmp_path / "run", now)


def test_a_run_of_an_earlier_version_began_with_no_classifier_that_is_known_of(run_dir):
    assert resumed(run_dir, {**SETTINGS, "initial": None})[0]["step"] == 7
    with pytest.raises(InputError, match='other settings: initial was null, is now "0123"$'):
        resumed(run_dir, {**SETTINGS, "initial": "0123"})
