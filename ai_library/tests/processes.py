"""Several processes at tasks of `several_processes.py`, as tests start them; and what commands print."""

import re
import socket
import subprocess
import sys
from pathlib import Path

from ai_library.tests.several_processes import CHILD

ROOT = Path(__file__).resolve().parents[2]


class Process(subprocess.Popen):
    """One of several processes at tasks of `several_processes.py`, on this machine unless `prefix` leads elsewhere."""

    def __init__(self, tasks, folder, *options, prefix=()):
        command = [*prefix, sys.executable, "-m", CHILD, tasks, folder, *options]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        super().__init__(list(map(str, command)), cwd=ROOT, text=True, **pipes)


def begun(tasks, folder, processes, *options):
    """So many processes, just started, at tasks in a folder, which is made."""
    folder.mkdir(exist_ok=True)
    meeting = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", processes, "--process"]
    each = [[*meeting, process] if processes > 1 else [] for process in range(processes)]
    return [Process(tasks, folder, *options, *own) for own in each]


def ended(*running):
    """Waits for processes, all of which have to end well."""
    for process in running:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def without_progress(errors):
    """Standard error without the lines of progress that a slow machine gets."""
    return re.sub(r"^(reading images|predicting|trying corruptions on images|evaluating): .*\n", "", errors, flags=re.M)
