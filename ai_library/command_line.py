"""What the scripts share: arguments, the run from training to the saved model, and how errors end a script."""

import argparse
import dataclasses
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic import check_writable
from .errors import InputError
from .stop_signals import TrainingStopped

if TYPE_CHECKING:
    from .training import TrainConfig


def exit_status(main: Callable[[], None]) -> int:
    """Runs a script's `main`: 0 when done; 1, with one line on standard error, where the input is at fault; and, as
    shells have it, 128 and the signal's number where a signal ended it."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.received
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def training_parser(description: str, epochs: int | None, model: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every training script, and these defaults; epochs None: the script decides."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--epochs", type=int, default=epochs, help=f"passes over the data ({epochs or 'default: as many as it needs'})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the data's order and the weights (%(default)s)")
    parser.add_argument("--model", type=Path, default=Path(model), metavar="FILE", help="model to write (%(default)s)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="curves and checkpoints (runs/ and the time)")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=30, metavar="S", help="time between checkpoints (%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir, or with the latest")
    return parser


def command_line(*more: str) -> str:
    """The command that this process runs, as a shell takes it, with some more arguments."""
    return shlex.join(["python", *sys.argv, *more])


def train_and_save(arguments, model, source, config: "TrainConfig"):
    """Trains, evaluates once on the evaluation split, saves the model with its metrics, and prints what came out; then
    looks for weaknesses, and writes `report.html` and `metrics.json` into the run's folder.
    """
    # Imported here, since the scripts that do not train would wait for all this a second or two.
    from .evaluation import evaluate
    from .findings import examine
    from .model_file import save_model
    from .processor import keep_freed_memory, share_out_cores
    from .report_page import write_findings
    from .run_directory import RunDirectory
    from .training import Trainer

    check_writable(arguments.model)
    share_out_cores(config.batch_size)
    keep_freed_memory()
    run_dir = arguments.run_dir
    if arguments.resume and run_dir is None:
        run_dir = RunDirectory.latest_path()
    trainer = Trainer(model, source, config, run_dir, arguments.checkpoint_seconds)
    print(model.summary(source.image_shape), end="\n\n")
    try:
        classifier = trainer.fit(arguments.resume)
    except TrainingStopped as stopped:
        again = [] if arguments.resume else ["--resume"]
        again += [] if arguments.run_dir else ["--run-dir", str(trainer.run_dir)]
        raise TrainingStopped(f"{stopped}; go on with: {command_line(*again)}", stopped.received) from None
    report = evaluate(classifier, source)
    save_model(
        arguments.model, dataclasses.replace(classifier, metrics={**classifier.metrics, "evaluation": report.metrics()})
    )
    print(f"\n{report}\n")
    print(f"model  {arguments.model}")
    print(f"run    {trainer.run_dir}  (look at it with: tensorboard --logdir {trainer.run_dir})", flush=True)
    write_findings(examine(classifier, source, report, _command_from_the_start()), trainer.run_dir)
    print(f"report {trainer.run_dir / 'report.html'}")


def _command_from_the_start():
    return shlex.join(["python", *(argument for argument in sys.argv if argument != "--resume")])
