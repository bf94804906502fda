"""A file takes the place of an older one with its permissions and behind its links, and of nothing that is no file."""

import os
import stat
import subprocess
import sys

import pytest

from ai_library import InputError
from ai_library.files.atomic import check_writable, write_bytes


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
    with pytest.raises(InputError, match="pipe: it is no regular file; choose a place"):
        act(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: it is a folder; choose a place"):
        act(tmp_path / "folder")
    with pytest.raises(InputError, match="/dev/null: it is no regular file"):
        act("/dev/null")
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
