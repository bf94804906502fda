"""What the scripts share: arguments of several processes, and how errors are told."""

import argparse
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ai_application.command_line import add_process_arguments, command, command_line, joined, quoted
from ai_library import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
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


HOSTILE = ["\x1b[31mred", "a\rb", "two\nlines", "\x9b2J", "\u202eevil", "\udcff", "it's \\ \t$HOME", "\x7f123"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_an_error_or_a_warning_is_part_of_one_line_that_can_only_be_read(name, capfd, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    @command
    def main():
        print(warnings.formatwarning(UserWarning(name), UserWarning, "", 0), end="", file=sys.stderr)
        raise InputError(f"{name} is wrong")

    assert main() == 1
    warning, error, end = capfd.readouterr().err.split("\n")
    assert (warning[:9], error[:7], end) == ("warning: ", "error: ", "")
    assert (warning + error).isprintable()


@pytest.mark.parametrize("name", [*HOSTILE, "plain", "with space", "圆"])
def test_a_command_that_is_told_is_printable_and_names_the_same_file(name):
    told = quoted(name)
    assert told.isprintable()
    said = subprocess.run(["bash", "-c", f"printf %s {told}"], capture_output=True, check=True).stdout
    assert said == name.encode("utf-8", "surrogateescape")


def test_the_command_that_goes_on_quotes_what_is_not_printable(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_folder.py", "a\x1bb", "--resume"])
    assert command_line("--model", "m\n", without="--resume") == r"python train_folder.py $'a\033b' --model $'m\012'"


def test_ctrl_c_ends_a_command_with_the_status_that_shells_have_for_it(capsys):
    @command
    def main():
        raise KeyboardInterrupt

    assert main() == 128 + signal.SIGINT
    assert capsys.readouterr().err == "interrupted\n"
