"""Searches a folder of images for wrong labels, copies, and images unlike the rest.

Networks are trained on parts of the images, and predict the images that they never saw. Where they are sure of another
class, the label is probably wrong. The images are not changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ai_library import ImageFolderDataSource, predict_out_of_fold
from ai_library.data.images.odd_images import odd_images
from ai_library.files.atomic import check_writable
from ai_library.files.file_set import replacing_together
from ai_library.files.folder_lock import locked
from ai_library.reporting.data_check import DataCheck, Pair, data_check_page
from ai_library.runtime import distributed

from ..command_line import check_apart, command, command_line, joined, shown
from ..configs import FOLDER_RECIPE
from ..training_arguments import TrainingArguments
from ..training_run import UNREADABLE, prepare, table, unreadable_list
from .train_folder import DECIDED_LATER, LEAKS, Images, leaks_list, length_of_training

PAGE, ERRORS, COPIES, ODD = "report.html", "label_errors.csv", "duplicates.csv", "odd_images.csv"
FILES = (PAGE, ERRORS, COPIES, LEAKS, ODD, UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class Checked(Images):
    """The images."""

    output: Path = Path("checked")
    """Folder for report.html, label_errors.csv, duplicates.csv, leaks.csv, odd_images.csv and unreadable.csv."""
    folds: int = 4
    """Number of networks to train, each on all folds but one, which it predicts."""


@command
def main():
    arguments = TrainingArguments(
        __doc__, {"folder": FOLDER_RECIPE}, own=Checked, decided_later=DECIDED_LATER, keeps_run=False
    )
    own = arguments.own
    check_apart(own.output, own.folder, "--output")
    with joined(arguments.processes):
        if distributed.is_first():
            for name in FILES:
                check_writable(own.output / name)  # fails before the training, not after it
        source = own.source(arguments.seed, min_images=3, skip_broken=True)
        print(source.summary(for_folds=True), end="\n\n", flush=True)
        check = checked(arguments, source)
        if distributed.is_first():
            write(check, source, own.output)
            tell(check, own.output)


def checked(arguments: TrainingArguments, source: ImageFolderDataSource) -> DataCheck:
    """Trains the networks, and returns the findings about labels and images."""
    k = arguments.own.folds
    in_training = sum(map(source.size, source.splits)) * (k - 1) / max(k, 1)
    config = arguments.config(**length_of_training(max(1, int(in_training)), arguments.batch_size))
    network = arguments.network(source.num_classes)
    prepare(network, source, config)
    report = predict_out_of_fold(network, source, config, k)
    paths = [path for split in source.splits for path in source.paths(split)]
    index_of = {path: index for index, path in enumerate(paths)}
    kinds = {True: "same pixels", False: "nearly the same"}
    return DataCheck(
        names=[source.name_of(path) for path in paths],
        images=source.read.images,
        report=report,
        copies=[Pair(index_of[each.path], index_of[each.copy], kinds[each.same_pixels]) for each in source.copies],
        not_compared=source.not_compared,
        leaks=len({leak.path for leak in source.leaks}),
        odd=odd_images(source.read.images, source.read.sizes),
        faults=source.read.faults,
        command=command_line(),
    )


def write(check: DataCheck, source: ImageFolderDataSource, folder: Path):
    """Writes page and tables into a folder; they replace earlier ones together."""
    tables = {
        ERRORS: errors_list(check),
        COPIES: copies_list(check),
        LEAKS: leaks_list(source),
        ODD: odd_list(check),
        UNREADABLE: unreadable_list(check.faults),
    }
    files = {name: table(list(rows)) for name, rows in tables.items()}
    files[PAGE] = data_check_page(check).encode()
    with locked(folder) as unchanged, replacing_together([folder / name for name in FILES], unchanged) as begin:
        for name, content in files.items():
            begin(folder / name, "wb").write(content)


def errors_list(check: DataCheck) -> Iterable[tuple[str, ...]]:
    """The rows of the list of labels that are probably wrong, the most suspicious first."""
    yield "rank", "path", "label", "suggested", "probability", "self_confidence"
    errors, names = check.errors, check.report.class_names
    for place, index in enumerate(errors.indices):
        label, suggested = names[int(errors.labels[place])], names[int(errors.suggested[place])]
        probability, own = errors.probability[place], errors.self_confidence[place]
        yield f"{place + 1}", check.names[int(index)], label, suggested, f"{probability:.6f}", f"{own:.6f}"


def copies_list(check: DataCheck) -> Iterable[tuple[str, ...]]:
    """The rows of the list of copies."""
    yield "path", "label", "copy", "copy_label", "kind"
    for one, other, kind in check.copies:
        yield check.names[one], check.label_of(one), check.names[other], check.label_of(other), kind


def odd_list(check: DataCheck) -> Iterable[tuple[str, ...]]:
    """The rows of the list of images unlike the rest."""
    yield "path", "reason", "detail"
    for index, reason, detail in check.odd:
        yield check.names[index], reason, detail


def tell(check: DataCheck, folder: Path):
    """Prints the number of findings of each kind, and the file that lists them."""
    low, high = check.report.accuracy_interval
    print(f"out of fold: accuracy {check.report.accuracy:.2%} ({low:.2%} to {high:.2%}), n = {check.report.n:,}\n")
    found = {
        "labels that are probably wrong": (len(check.errors), ERRORS),
        "images that are copies of others": (len(check.copies), COPIES),
        "images with a copy, or their group, in an earlier split": (check.leaks, LEAKS),
        "findings of images unlike the rest": (len(check.odd), ODD),
        "files that cannot be read": (len(check.faults), UNREADABLE),
    }
    for what, (count, name) in found.items():
        print(f"{count:>7,} {what}: {shown(folder / name)}")
    print(f"\nreport  {shown(folder / PAGE)}")
