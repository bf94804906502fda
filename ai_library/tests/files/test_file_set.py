"""Files that belong together are the old ones or the new ones, wherever writing them ends."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ai_library import InputError
from ai_library.files.file_set import remove_together, replacing_together

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("a", "b", "c")


def old_set(folder):
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / name).write_text("old")


def found(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def write_new(folder, check=lambda: None, names="ab"):
    with replacing_together([folder / name for name in NAMES], check) as begin:
        for name in names:
            begin(folder / name).write("new")


@pytest.mark.parametrize("names", ["", "a", "ca", "abc"])
def test_the_new_files_take_the_place_of_all_the_old_ones(tmp_path, names):
    old_set(tmp_path)
    write_new(tmp_path, names=names)
    assert found(tmp_path) == dict.fromkeys(names, "new")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["block", "flush", "fsync", "chmod", "another file"])
def test_after_an_error_the_old_files_are_whole_and_nothing_else_is_there(tmp_path, monkeypatch, fails):
    def write():
        with replacing_together([tmp_path / name for name in NAMES], lambda: None) as begin:
            files = [begin(tmp_path / name) for name in "ab"]
            for file in files:
                file.write("new")
            if fails == "block":
                full()
            if fails == "flush":
                files[0].flush = full
            if fails in ("fsync", "chmod"):
                monkeypatch.setattr(os, fails, full)
            if fails == "another file":
                monkeypatch.setattr("ai_library.files.atomic.open", full, raising=False)
                begin(tmp_path / "c")

    old_set(tmp_path)
    with pytest.raises(InputError, match="cannot write .*: No space left on device"):
        write()
    monkeypatch.undo()
    assert found(tmp_path) == dict.fromkeys(NAMES, "old")


@pytest.mark.parametrize("at", range(1, 6))
def test_where_a_file_cannot_be_moved_all_old_ones_are_put_back(tmp_path, monkeypatch, at):
    real, calls = os.replace, 0

    def replace(*arguments):
        nonlocal calls
        calls += 1
        return full() if calls == at else real(*arguments)

    old_set(tmp_path)
    (tmp_path / "b").unlink()
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(InputError, match="cannot write .*: No space left on device"):
        write_new(tmp_path)
    assert found(tmp_path) == {"a": "old", "c": "old"}


def test_nothing_is_replaced_where_the_check_forbids_it(tmp_path):
    def check():
        raise InputError("another folder")

    old_set(tmp_path)
    with pytest.raises(InputError, match="another folder"):
        write_new(tmp_path, check)
    assert found(tmp_path) == dict.fromkeys(NAMES, "old")


# Writes the new set in a process of its own that is killed at the n-th call that changes a folder, until there is none.
KILLED = """
import os, signal, sys
from pathlib import Path
from ai_library.tests.files.test_file_set import found, old_set, write_new
folder, n = Path(sys.argv[1]), 0
while True:
    n += 1
    old_set(folder)
    if not os.fork():
        calls = 0
        def dying(real):
            def call(*arguments, **options):
                global calls
                calls += 1
                if calls == n:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)
            return call
        for name in ("open", "unlink", "replace", "chmod", "fsync"):
            setattr(os, name, dying(getattr(os, name)))
        write_new(folder)
        os._exit(0)
    killed = os.wait()[1] == signal.SIGKILL
    print(repr({name: text for name, text in found(folder).items() if name[0] != "."}))
    if not killed:
        break
"""


@pytest.mark.slow
def test_killed_at_any_call_it_leaves_no_file_of_the_one_set_beside_one_of_the_other(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "x"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    states = [eval(line) for line in done.stdout.splitlines()]
    assert len(states) > 10
    assert states[0] == dict.fromkeys(NAMES, "old")
    assert states[-1] == {"a": "new", "b": "new"}
    assert [state for state in states if len(set(state.values())) > 1] == []
    assert found(tmp_path / "x") == states[-1]  # what the killed ones left half-written is gone, too


def test_only_what_an_earlier_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".a.0123abcd").touch()
    kept = {".a.swp", ".d.0123abcd", "a.0123abcd", ".a.backup of mine"}
    for name in kept:
        (tmp_path / name).touch()
    write_new(tmp_path)
    assert found(tmp_path).keys() == {*kept, "a", "b"}


def test_an_old_one_that_cannot_be_replaced_is_named_before_anything_is_done(tmp_path):
    old_set(tmp_path)
    (tmp_path / "c").unlink()
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="cannot write .*/c: it is a folder; choose a place that can be written to"):
        replacing_together([tmp_path / name for name in NAMES], lambda: None).__enter__()
    with pytest.raises(InputError, match="cannot write .*/c: "):
        remove_together([tmp_path / "c"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [*NAMES]


def test_links_stay_and_what_they_lead_to_is_replaced(tmp_path):
    old_set(tmp_path / "far")
    for name in NAMES:
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    write_new(tmp_path)
    assert all((tmp_path / name).is_symlink() for name in NAMES)
    assert found(tmp_path / "far") == {"a": "new", "b": "new"}


@pytest.mark.parametrize("at", range(6))
def test_a_signal_does_not_come_between_the_old_files_and_the_new_ones(tmp_path, monkeypatch, at):
    """It comes just before it, or at a change of a name: three old files go, two new ones get theirs."""
    old_set(tmp_path)
    hearing, real, calls = signal.signal(signal.SIGINT, signal.default_int_handler), os.replace, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)
        real(*arguments)

    def check():
        if at == 0:
            signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(os, "replace", interrupted)

    try:
        with pytest.raises(KeyboardInterrupt):
            write_new(tmp_path, check)
    finally:
        signal.signal(signal.SIGINT, hearing)
    monkeypatch.undo()
    assert found(tmp_path) == (dict.fromkeys("ab", "new") if at else dict.fromkeys(NAMES, "old"))
