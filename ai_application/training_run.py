"""The run of a training command: from the parsed arguments to the saved model and the printed result."""

import contextlib
import csv
import dataclasses
import io
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn

from ai_library import (
    CNN,
    NETWORKS,
    Augmentation,
    DataSource,
    InputError,
    TrainConfig,
    Trainer,
    TrainingStopped,
    evaluate,
    save_model,
)
from ai_library.data.images.reading import UnreadableImagesError
from ai_library.files.atomic import check_writable, write_bytes
from ai_library.files.file_set import remove_together
from ai_library.files.folder_lock import locked
from ai_library.files.text import as_cell
from ai_library.networks.architecture import Architecture
from ai_library.networks.model_file import check_storable
from ai_library.networks.network import arguments as arguments_of
from ai_library.networks.network import summary
from ai_library.reporting.findings import examine, leaks_as_json
from ai_library.reporting.page import FILES, write_findings
from ai_library.runtime import distributed
from ai_library.runtime.cpu import keep_freed_memory, share_out_cores
from ai_library.runtime.devices import compute_repeatably, device_name
from ai_library.training.callbacks import Callback
from ai_library.training.run_directory import RunDirectory

from . import MODELS
from .command_line import command_line, command_of, quoted, short, shown
from .signals import Interrupted
from .training_arguments import Run, TrainingArguments

MODEL = "model.msgpack"
"""File name of the trained model in the run's folder."""


Lists = Mapping[str, Sequence[tuple[str, ...]]]
"""Tables by file name. Each table has the column names as its first row."""
UNREADABLE = "unreadable.csv"
"""File name of the list of unreadable images in the run's folder."""


def train_and_save(
    arguments: TrainingArguments,
    source: DataSource,
    shipped: str,
    lists: Lists | None = None,
    **later: Any,
):
    """Trains, evaluates once on the evaluation split, saves the model with its metrics, and prints the result.

    Then it looks for weaknesses, and writes `report.html` and `metrics.json` into the run's folder.

    Args:
        arguments: The parsed arguments of the command.
        source: The data.
        shipped: Name in `MODELS` of the container's model, which this one may replace.
        lists: Tables of findings in the data, to be written into the run's folder. A table without rows removes the
            file of an earlier run.
        later: Values for fields of the configuration that the arguments left open.
    """
    run, config, network = arguments.run, arguments.config(**later), arguments.network(source.num_classes)

    def run_dir():
        folder = folder_of(run)
        for path in (run.model or folder / MODEL, *(folder / name for name in FILES)):
            if path == run.model or path.exists():  # the trainer checks the run's folder itself
                check_writable(path)
        return str(folder)

    prepare(network, source, config)
    folder = Path(distributed.broadcast_from_first(run_dir))
    options = {"initial": arguments.initial, "callbacks": [writing(lists or {}, folder)]}
    trainer = Trainer(network, source, config, folder, run.checkpoint_seconds, **options)
    print(f"{summary(network, source.image_shape)}\n{changes(config.augmentation)}\ntrains on {device_name()}\n")
    with telling_how_to_go_on(run, folder):
        classifier = trainer.fit(run.resume)
        report = evaluate(classifier, source, verbose=True)
        if not distributed.is_first():
            return
        tried = {**report.scores(), **leaks_as_json(report, source.leaked("evaluation"))}
        model, scores = run.model or folder / MODEL, {**classifier.metrics, "evaluation": tried}
        with locked(folder):
            remove_together([folder / name for name in FILES])  # they describe an earlier model
            save_model(model, dataclasses.replace(classifier, metrics=scores))
        print(f"\n{report}\n", flush=True)
        made_by = command_line(without="--resume")
        findings = examine(classifier, source, report, made_by, verbose=True)
        if clean := findings.without_leaks:
            low, high = clean.accuracy_interval
            accuracy = f"accuracy {clean.accuracy:.2%} ({low:.2%} to {high:.2%}), n = {clean.n:,}"
            leaked = f"{report.n - clean.n:,} images that have copies, or images of their group, in earlier splits"
            print(f"without the {leaked}: {accuracy}\n")
        elif findings.leaked is not None and findings.leaked.any():
            print("all of the images have copies, or images of their group, in earlier splits\n")
        write_findings(findings, folder)
    print(f"model    {shown(model)}\nreport   {shown(folder / 'report.html')}")
    print(f"curves   tensorboard --logdir {quoted(folder)}")
    print("\n".join(_next_commands(arguments, model, short(MODELS / f"{shipped}.msgpack"))))


def changes(augmentation: Augmentation) -> str:
    """A line that lists how images are augmented in training, and says if they are not mirrored."""
    told = {name.replace("_", " "): value for name, value in vars(augmentation).items() if value}
    if not augmentation.erase:
        del told["erase side"]
    if not told:
        return "images are not changed in training"
    hint = "; not mirrored: if a mirrored image keeps its class, add --augmentation.flip 0.5"
    mirrored = "" if augmentation.flip else hint
    return f"images are changed in training: {', '.join(f'{name} {value:g}' for name, value in told.items())}{mirrored}"


def prepare(network: nn.Module, source: DataSource, config: TrainConfig):
    """Checks that this network can be saved, and sets up cores, memory and, on GPUs, repeatable bits for its training.

    Raises `InputError` if it cannot.
    """
    check_storable(network)
    activations = Architecture(**arguments_of(network)).activations(source.image_shape) if type(network) is CNN else 0
    share_out_cores(config.batch_size // distributed.process_count(), activations)
    keep_freed_memory()
    compute_repeatably()


def folder_of(run: Run, part: str = "") -> Path:
    """The folder of a run: the one that is named, the latest one to resume, or a new one. `part`: see `latest_path`."""
    return Path(run.run_dir or (RunDirectory.latest_path(part) if run.resume else RunDirectory.new_path()))


def writing(lists: Lists, folder: Path) -> Callback:
    """A callback that writes tables of findings in the data into a run's folder.

    It is called after an epoch, when the folder is known to hold no other run.
    """

    def write(history):
        if len(history) == 1:
            for name, rows in lists.items():
                write_list(folder / name, rows)

    return write


@contextlib.contextmanager
def listing_unreadable(run: Run) -> Iterator[None]:
    """If the block fails because of unreadable images, lists them in a file in the run's folder.

    If that already holds something else, such as an earlier run, the file goes into a new one.
    """
    try:
        yield
    except UnreadableImagesError as error:
        folder = Path(run.run_dir or RunDirectory.new_path())
        if folder.is_dir() and any(path.name != UNREADABLE for path in folder.iterdir()):
            folder = RunDirectory.new_path()
        if distributed.is_first():
            write_list(folder / UNREADABLE, unreadable_list(error.faults))
        raise InputError(f"{error}; all of them are listed in {folder / UNREADABLE}") from error


def unreadable_list(faults: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The rows of the list of unreadable images. `faults` maps their paths to the reasons."""
    return [("file", "error"), *faults.items()]


def write_list(path: Path, rows: Sequence[tuple[str, ...]]):
    """Writes a table. If it has no rows besides the column names, removes the file of an earlier run instead."""
    if len(rows) < 2:
        remove_together([path])
        return
    write_bytes(path, table(rows))


def table(rows: Sequence[tuple[str, ...]]) -> bytes:
    """Rows as a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(as_cell, row) for row in rows])
    return text.getvalue().encode()


@contextlib.contextmanager
def telling_how_to_go_on(run, folder):
    """If a signal ends the block and there is a checkpoint, adds the command that resumes to the message."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not isinstance(stopped, TrainingStopped) and not any(folder.glob("checkpoints/[0-9]*.msgpack")):
            raise
        again = [] if run.resume else ["--resume"]
        again += [] if run.run_dir else ["--run-dir", str(folder)]
        told = f"{str(stopped) or 'interrupted'}; go on with: {command_line(*again)}"
        raise Interrupted(getattr(stopped, "received", signal.SIGINT), told) from None


def _next_commands(arguments, model, shipped):
    """The command lines of the next steps with the model, quoted for a shell."""
    own = [] if arguments.network_name in NETWORKS else ["--network", arguments.network_name]
    yield f"predict  {command_of('predict', '--model', model, *own, '--data')} IMAGE_OR_FOLDER"
    if not own and not (shipped.exists() and model.exists() and os.path.samefile(model, shipped)):
        yield f"ship     {'copy' if os.name == 'nt' else 'cp'} {quoted(model)} {quoted(shipped)}"
