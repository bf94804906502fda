"""Shared by all commands: exit status and error lines, several processes, and quoting of command lines."""

import argparse
import contextlib
import functools
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ai_library import InputError
from ai_library.files.text import escaped, is_printable
from ai_library.runtime import distributed


def command(main: Callable[[], None]) -> Callable[[], int]:
    """Decorates a `main` function, so that it returns the exit status of `exit_status`."""

    @functools.wraps(main)
    def run() -> int:
        return exit_status(main)

    return run


def exit_status(main: Callable[[], None]) -> int:
    """Runs a script's `main` and returns the exit status.

    0: done. 1: an error; a fault of the input is one line on standard error. 128 plus the signal's number: a signal
    ended it. If one of several processes fails, it exits at once, which ends the others too.
    """
    warnings.formatwarning = lambda message, *_: f"warning: {escaped(str(message))}\n"
    status = _exit_status(main)
    if status:
        distributed.leave(status)
    return status


def _exit_status(main):
    try:
        main()
    except InputError as error:
        print(f"error: {escaped(_in_words_of_the_command(str(error)))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        print(escaped(str(stopped) or "interrupted"), file=sys.stderr)
        return 128 + getattr(stopped, "received", signal.SIGINT)
    except Exception as error:
        if line := distributed.lost(error):
            print(f"error: {line}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    return 0


def _in_words_of_the_command(message):
    """Replaces the Python arguments in a message of the library by the corresponding flags."""
    words = {
        r"by fit\(resume=True\)": "with --resume",
        r"by fit\(\)": "without --resume",
        "as run_dir": "with --run-dir",
        "without an initial classifier": "without --from",
        "by unlabelled=True": "with --unlabelled",
        r"by folds\(source, k\) of a source with lower min_images": "with --cross-validate K",
        "use groups='none'": "use --groups none",
        "by skip_broken=True": "with --skip-broken",
        "use export_stablehlo": "use --format stablehlo",
        r"pass its class, as in load_model\(path, networks=\[(\w+)\]\)": r"name its class by --network FILE.py:\1",
    }
    for of_python, of_the_command in words.items():
        message = re.sub(of_python, of_the_command, message)
    return message


def short(path: Path) -> Path:
    """The path relative to the current folder if it lies in it, for messages."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


PROCESS_ARGUMENTS = {
    "distributed": (bool, False, "Join the other processes of a SLURM or Open MPI job: docs/distributed.md."),
    "coordinator": (str, None, "HOST:PORT of the first of several processes, the same for all."),
    "processes": (int, None, "Number of processes."),
    "process": (int, None, "Index of this process, from 0 for the first."),
}
"""The arguments that `joined` takes: type, default and help of each."""


def add_groups_argument(parser: argparse.ArgumentParser):
    """Adds the argument that says whether sub-folders of classes are groups."""
    parser.add_argument(
        "--groups",
        choices=("folders", "none"),
        default="folders",
        help="folders: images in one sub-folder of a class, or of one number in the groups of an .npz, depend on each "
        "other; intervals and tests account for it. none: they are ignored (%(default)s)",
    )


def add_process_arguments(parser: argparse.ArgumentParser):
    """Adds the arguments that `joined` takes."""
    group = parser.add_argument_group("several processes, on one machine or many")
    for name, (kind, default, text) in PROCESS_ARGUMENTS.items():
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind, "default": default}
        group.add_argument(f"--{name}", help=text, **how)


@contextlib.contextmanager
def joined(arguments: argparse.Namespace) -> Iterator[None]:
    """Joins the other processes if the arguments name them.

    Only the first process prints, and at the end all wait for it. Raises `InputError` if the arguments are incomplete.
    """
    explicit = [arguments.coordinator, arguments.processes, arguments.process]
    if not arguments.distributed and explicit == [None] * 3:
        yield
        return
    if None in explicit and explicit != [None] * 3:
        raise InputError("--coordinator, --processes and --process belong together: name all three, or none")
    distributed.initialise(*explicit)
    with contextlib.ExitStack() as stack:
        if not distributed.is_first():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8", errors="backslashreplace"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield
    distributed.broadcast_from_first(lambda: None)


def check_apart(output: Path | None, data: Path, option: str):
    """Raises `InputError` if a command would write into the folder whose images it reads: `option` names the output."""
    if output is not None and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(data)):
        raise InputError(f"{output} lies in {data}, whose images are read: choose another {option}")


def command_line(*more: str, without: str | None = None) -> str:
    """The command line of this process, quoted for a shell, with more arguments, or without one of them."""
    return _joined([*_program(sys.argv[0]), *(given for given in sys.argv[1:] if given != without), *more])


def command_of(name: str, *arguments: str | Path) -> str:
    """The command line of another command, quoted for a shell: the script beside this one, or the installed one."""
    own = Path(sys.argv[0])
    program = own.with_name(f"{name}.py") if own.suffix == ".py" else Path("ai-" + name.replace("_", "-"))
    return _joined([*_program(program), *map(str, arguments)])


def shown(text: str | Path) -> str:
    """An untrusted name as one printable line: control characters become escapes."""
    return escaped(str(text))


def quoted(text: str | Path) -> str:
    """A word quoted for a shell. Unprintable characters become octal escapes within $'...'."""
    text = str(text)
    if is_printable(text):
        return shlex.quote(text)
    parts = (c if is_printable(c) and c not in "\\'" else _octal(c) for c in text)
    return f"$'{''.join(parts)}'"


def _octal(character):
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def _joined(words):
    return " ".join(map(quoted, words))


def _program(path):
    return ["python", str(path)] if Path(path).suffix == ".py" else [Path(path).stem]
