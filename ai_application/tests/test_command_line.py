"""What the scripts share: arguments of several processes, and how errors are told."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from ai_application.command_line import add_process_arguments, joined
from ai_library import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_a_process_that_knows_of_no_others_is_told_what_is_missing():
    command = [sys.executable, ROOT / "scripts/train_shapes.py", "--distributed"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: the processes do not know of each other" in done.stderr
    assert "start them by SLURM, Kubernetes or Open MPI, or name coordinator" in done.stderr


@pytest.mark.parametrize("arguments", [["--coordinator", "here:1"], ["--distributed", "--process", "0"]])
def test_arguments_that_name_the_others_belong_together(arguments):
    add_process_arguments(parser := argparse.ArgumentParser())
    arguments = parser.parse_args(arguments)
    with pytest.raises(InputError, match="--coordinator, --processes and --process belong together"), joined(arguments):
        raise AssertionError("it should not have come so far")
