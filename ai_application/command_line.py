"""What the scripts share: arguments, the run from training to the saved model, and how errors end a script."""

import argparse
import contextlib
import dataclasses
import functools
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ai_library import InputError
from ai_library.files.atomic import check_writable
from ai_library.networks.architecture import Architecture
from ai_library.runtime import distributed
from ai_library.training.stop_signals import TrainingStopped

if TYPE_CHECKING:
    from ai_library import TrainConfig


def command(main: Callable[[], None]) -> Callable[[], int]:
    """Makes a command of a function: it returns the exit status that `exit_status` gives."""

    @functools.wraps(main)
    def run() -> int:
        return exit_status(main)

    return run


def exit_status(main: Callable[[], None]) -> int:
    """Runs a script's `main`: 0 when done; 1, with one line on standard error, where the input is at fault; and, as
    shells have it, 128 and the signal's number where a signal ended it. With an error of one of several processes
    this one is left at once, and so ends the others.
    """
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    status = _exit_status(main)
    if status:
        distributed.leave(status)
    return status


def _exit_status(main):
    try:
        main()
    except InputError as error:
        print(f"error: {_in_words_of_the_command(str(error))}", file=sys.stderr)
        return 1
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.received
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if line := distributed.lost(error):
            print(f"error: {line}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    return 0


def _in_words_of_the_command(message):
    """The library's message, which names what Python programs write, with the flags that stand for it."""
    words = {"by fit(resume=True)": "with --resume", "by fit()": "without --resume", "as run_dir": "with --run-dir"}
    for of_python, flag in words.items():
        message = message.replace(of_python, flag)
    return message


def short(path: Path) -> Path:
    """The path as seen from the current folder, where it lies in it: for messages."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


def add_process_arguments(parser: argparse.ArgumentParser):
    """Adds the arguments that `joined` takes."""
    group = parser.add_argument_group("several processes, on one machine or many: see docs/distributed.md")
    group.add_argument(
        "--distributed", action="store_true", help="work with the other processes of a job of SLURM, Open MPI ..."
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="or with those that name the same place of the first")
    group.add_argument("--processes", type=int, metavar="P", help="how many they are")
    group.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0, the first")


@contextlib.contextmanager
def joined(arguments: argparse.Namespace) -> Iterator[None]:
    """Works with other processes, where the arguments say so: only the first one's prints are seen, and at the end
    all wait for it. Raises `InputError` where the arguments contradict each other.
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
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        yield
    distributed.broadcast_from_first(lambda: None)


def training_parser(description: str, epochs: int | None, model: str | Path) -> argparse.ArgumentParser:
    """A parser with the arguments of every training script, and these defaults; epochs None: the script decides."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--epochs", type=int, default=epochs, help=f"passes over the data ({epochs or 'default: the script decides'})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, data's order and drawn images (%(default)s)")
    parser.add_argument("--model", type=Path, default=Path(model), metavar="FILE", help="model to write (%(default)s)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="curves and checkpoints (runs/ and the time)")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=30, metavar="S", help="time between checkpoints (%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir, or with the latest")
    add_process_arguments(parser)
    return parser


def command_line(*more: str) -> str:
    """The command that this process runs, as a shell takes it, with some more arguments."""
    return shlex.join([*_program(sys.argv[0]), *sys.argv[1:], *more])


def command_of(name: str, *arguments: str | Path) -> str:
    """Another command of the application, as a shell takes it: the script beside this one, or the installed one."""
    own = Path(sys.argv[0])
    program = own.with_name(f"{name}.py") if own.suffix == ".py" else Path("ai-" + name.replace("_", "-"))
    return shlex.join([*_program(program), *map(str, arguments)])


def _program(path):
    return ["python", str(path)] if Path(path).suffix == ".py" else [Path(path).stem]


def train_and_save(arguments, model, source, config: "TrainConfig"):
    """Trains, evaluates once on the evaluation split, saves the model with its metrics, and prints what came out; then
    looks for weaknesses, and writes `report.html` and `metrics.json` into the run's folder.
    """
    with joined(arguments):
        _train_and_save(arguments, model, source, config)


def _train_and_save(arguments, model, source, config):
    # Imported here, since the scripts that do not train would wait for all this a second or two.
    from ai_library import CNN, Trainer, evaluate, save_model
    from ai_library.networks.network import arguments as arguments_of
    from ai_library.reporting.findings import examine
    from ai_library.reporting.page import write_findings
    from ai_library.runtime.cpu import keep_freed_memory, share_out_cores
    from ai_library.training.run_directory import RunDirectory

    def run_dir():
        check_writable(arguments.model)
        return str(arguments.run_dir or (RunDirectory.latest_path() if arguments.resume else RunDirectory.new_path()))

    activations = Architecture(**arguments_of(model)).activations(source.image_shape) if type(model) is CNN else 0
    share_out_cores(config.batch_size // distributed.process_count(), activations)
    keep_freed_memory()
    trainer = Trainer(model, source, config, distributed.broadcast_from_first(run_dir), arguments.checkpoint_seconds)
    print(model.summary(source.image_shape), end="\n\n")
    try:
        classifier = trainer.fit(arguments.resume)
    except TrainingStopped as stopped:
        again = [] if arguments.resume else ["--resume"]
        again += [] if arguments.run_dir else ["--run-dir", str(trainer.run_dir)]
        raise TrainingStopped(f"{stopped}; go on with: {command_line(*again)}", stopped.received) from None
    report = evaluate(classifier, source)
    if not distributed.is_first():
        return
    metrics = {**classifier.metrics, "evaluation": report.scores()}
    save_model(arguments.model, dataclasses.replace(classifier, metrics=metrics))
    print(f"\n{report}\n")
    print(f"model  {arguments.model}")
    print(f"run    {trainer.run_dir}  (look at it with: tensorboard --logdir {trainer.run_dir})", flush=True)
    write_findings(examine(classifier, source, report, _command_from_the_start()), trainer.run_dir)
    print(f"report {trainer.run_dir / 'report.html'}")


def _command_from_the_start():
    return shlex.join([*_program(sys.argv[0]), *(argument for argument in sys.argv[1:] if argument != "--resume")])
