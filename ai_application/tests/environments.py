"""Environments of Python in which a distribution is installed, for the tests of what users install."""

import os
import subprocess
import sys
import venv
from pathlib import Path


class Environment:
    """A fresh environment that also sees the packages of the running one, but for those of this clone."""

    def __init__(self, folder, *installed):
        venv.create(folder, with_pip=False)
        self._bin = folder / "bin"
        (packages,) = folder.glob("lib/python*/site-packages")
        others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (packages / "others.pth").write_text("\n".join(others))
        pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "--no-deps"]
        options = ["--no-index", "--no-build-isolation"]
        done = subprocess.run([*pip, *options, *map(str, installed)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, program, *arguments, folder):
        """Standard output of one of its programs, in a folder."""
        left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in left_out}
        command = [self._bin / program, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
