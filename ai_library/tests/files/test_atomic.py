"""A file takes the place of an older one with its permissions and behind its links, and of nothing that is no file."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ai_library import InputError
from ai_library.files.atomic import check_writable, remove_unfinished, replacing, write_bytes


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_link_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/file").write_bytes(b"old")
    for link, target in (("file", "far/file"), ("none", "far/none")):  # one that leads nowhere yet
        (tmp_path / link).symlink_to(target)
        write_bytes(tmp_path / link, b"new")
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / target).read_bytes() == b"new"
    assert len(list(tmp_path.rglob("*"))) == 5


@pytest.mark.parametrize("act", [check_writable, lambda path: write_bytes(path, b"new")])
def test_what_is_no_file_is_left_alone(tmp_path, act):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: it is not a regular file; choose a place"):
        act(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: it is a folder; choose a place"):
        act(tmp_path / "folder")
    with pytest.raises(InputError, match="/dev/null: it is not a regular file"):
        act("/dev/null")
    ends = os.pipe()
    with pytest.raises(InputError, match="it is not a regular file"):  # as /dev/stdout may be: a link to no path
        act(f"/dev/fd/{ends[1]}")
    for end in ends:
        os.close(end)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_permissions_stay(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o640)
    write_bytes(tmp_path / "file", b"new")
    assert mode_of(tmp_path / "file") == 0o640


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_those_that_the_user_gives_to_new_files(tmp_path, umask):
    code = f"from ai_library.files.atomic import write_bytes; write_bytes({str(tmp_path / 'file')!r}, b'new')"
    subprocess.run([sys.executable, "-c", code], check=True, umask=umask)
    assert mode_of(tmp_path / "file") == 0o666 & ~umask


@pytest.mark.parametrize("writing", ["w", "wb"])
def test_an_end_that_leaves_no_block_removes_what_is_not_finished(tmp_path, writing):
    (tmp_path / "file").write_bytes(b"old")
    with contextlib.suppress(InputError), replacing(tmp_path / "file", writing):
        assert len(list(tmp_path.iterdir())) == 2
        remove_unfinished()
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    write_bytes(tmp_path / "file", b"new")
    remove_unfinished()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_ctrl_c_twice_in_a_program_of_ones_own_leaves_no_temporary_file(tmp_path):
    """The second one comes while the first is cleaned up after."""
    code = """
import pathlib, signal, sys
from ai_library.files.atomic import replacing
signal.signal(signal.SIGINT, signal.default_int_handler)
pathlib.Path.unlink = lambda *_, real=pathlib.Path.unlink, **__: (setattr(pathlib.Path, "unlink", real), again())
again = lambda: signal.raise_signal(signal.SIGINT)
with replacing(sys.argv[1]) as file:
    again()
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "file"], capture_output=True)
    assert done.returncode == -signal.SIGINT
    assert not list(tmp_path.iterdir())


def test_a_look_whether_a_file_can_be_written_leaves_it_as_it_was(tmp_path):
    (tmp_path / "model").write_bytes(b"old")
    (tmp_path / "model").chmod(0o640)
    os.utime(tmp_path / "model", (1_000_000_000, 1_000_000_000))
    (tmp_path / "link").symlink_to("model")
    for name in ("model", "link", "new"):
        check_writable(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model").read_bytes() == b"old"
    assert (mode_of(tmp_path / "model"), (tmp_path / "model").stat().st_mtime) == (0o640, 1_000_000_000)


def test_a_look_does_not_bring_an_old_file_back(tmp_path, monkeypatch):
    """Another process replaces it in the meantime."""
    (tmp_path / "model").write_bytes(b"old")
    copied = shutil.copyfileobj

    def meanwhile(old, copy):
        copied(old, copy)
        write_bytes(tmp_path / "model", b"new")

    monkeypatch.setattr(shutil, "copyfileobj", meanwhile)
    check_writable(tmp_path / "model")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def immutable(path):
    return ["chattr", "+i", path], ["chattr", "-i", path]


def append_only(path):
    return ["chattr", "+a", path], ["chattr", "-a", path]


def mounted(path):
    return ["mount", "--bind", path, path], ["umount", path]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make such files")
@pytest.mark.parametrize("made", [immutable, append_only, mounted])
def test_a_file_that_cannot_be_replaced_is_found_out_before(tmp_path, made):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    (tmp_path / "link").symlink_to("model")
    make, undo = made(str(path))
    if subprocess.run(make, capture_output=True).returncode:
        pytest.skip("this machine lets nobody do that")
    try:
        for name in ("model", "link"):
            with pytest.raises(InputError, match=f"cannot write .*{name}: .*; choose a place that can be written to"):
                check_writable(tmp_path / name)
        assert path.read_bytes() == b"old"
        assert sorted(found.name for found in tmp_path.iterdir()) == ["link", "model"]
    finally:
        subprocess.run(undo, check=True)
    check_writable(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_another_users_file_in_a_folder_where_only_owners_remove_files_is_found_out_before():
    """As in /tmp: it may be written to and read, and files may be made beside it."""
    code = "import os, sys; os.setuid(12345); check_writable(sys.argv[1])"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        path.write_bytes(b"old")
        path.chmod(0o666)
        path.parent.chmod(0o1777)
        command = [sys.executable, "-c", f"from ai_library.files.atomic import check_writable\n{code}", path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert f"InputError: cannot write {path}: Operation not permitted; choose a place" in done.stderr
        assert [found.read_bytes() for found in path.parent.iterdir()] == [b"old"]
