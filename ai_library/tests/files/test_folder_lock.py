"""A folder is written to by one process at a time, and is the folder that it is, whatever it is called meanwhile."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ai_library import InputError
from ai_library.files import folder_lock
from ai_library.files.folder_lock import locked

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from ai_library.files.folder_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder):
    """A process that has the folder until its input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, folder], cwd=ROOT, text=True, **pipes)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("ended_by", ["itself", "kill"])
def test_one_process_has_it_at_a_time_however_it_ends(tmp_path, ended_by):
    process = holder(tmp_path / "a/b")
    with pytest.raises(InputError, match="another process writes into .*a/b: wait for its end, or choose another"):
        locked(tmp_path / "a/b").__enter__()
    if ended_by == "kill":
        process.send_signal(signal.SIGKILL)
    process.communicate()
    with locked(tmp_path / "a/b") as check:
        check()
    assert list((tmp_path / "a/b").iterdir()) == []


@pytest.mark.parametrize("change", ["removed", "moved", "replaced", "begun anew"])
def test_a_folder_that_is_another_one_is_told_from_it(tmp_path, change):
    with locked(tmp_path / "run") as check:
        check()
        if change == "moved":
            (tmp_path / "run").rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(tmp_path / "run")
        if change == "replaced":
            (tmp_path / "run").mkdir()
            (tmp_path / "run/lock").touch()
        second = holder(tmp_path / "run") if change == "begun anew" else None
        with pytest.raises(InputError, match="run was removed, moved or replaced while this process wrote into it"):
            check()
    if second:  # which the end of the first has not taken it from
        with pytest.raises(InputError, match="another process writes"):
            locked(tmp_path / "run").__enter__()
        second.communicate()
    assert (tmp_path / "run/lock").exists() == (change == "replaced")


def test_of_many_that_come_and_go_never_two_have_it(tmp_path):
    inside, most, entered = 0, 0, 0

    def come_and_go():
        nonlocal inside, most, entered
        for _ in range(200):
            try:
                with locked(tmp_path):
                    inside += 1
                    most, entered = max(most, inside), entered + 1
                    os.listdir(tmp_path)  # lets others run
                    inside -= 1
            except InputError:
                pass

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered > 1


def test_where_files_cannot_be_locked_it_warns_and_goes_on(tmp_path, monkeypatch):
    def fails(_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock, "_lock", fails)
    with pytest.warns(UserWarning, match="lies where files cannot be locked: let nothing else write there"):
        locked(tmp_path).__enter__()


@pytest.mark.parametrize("place", ["file", "file/below", "lock is a folder"])
def test_what_is_no_folder_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "lock is a folder/lock").mkdir(parents=True)
    with pytest.raises(InputError, match=f"cannot write .*{place}.*; choose a place"):
        locked(tmp_path / place).__enter__()
