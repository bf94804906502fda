"""Trains a network on a folder of images with one sub-folder per class, and evaluates it on images it never saw."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ai_library import ImageFolderDataSource
from ai_library.runtime import display

from ..command_line import check_apart, command, joined
from ..configs import FOLDER_PATIENCE, FOLDER_RECIPE, FOLDER_STEPS
from ..cross_validation import cross_validate
from ..training_arguments import TrainingArguments
from ..training_run import UNREADABLE, listing_unreadable, train_and_save, unreadable_list

LEAKS = "leaks.csv"
"""File name of the list of images with copies, or images of their group, in two splits, in the run's folder."""

DECIDED_LATER = {
    "epochs": f"10, or as many as {FOLDER_STEPS:,} steps take",
    "patience": "{}, or as many as {} steps take".format(*FOLDER_PATIENCE),
}
"""The defaults that `length_of_training` computes, as text for the help."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images."""

    folder: tyro.conf.Positional[Path]
    """Folder with one sub-folder per class, a zip of such a folder, or a CSV file of rows: label, pixel, pixel, ..."""
    labels: Path | None = None
    """CSV file with the columns path and label, and optionally split and group. None: sub-folders are the labels."""
    image_size: int = 64
    """Side in pixels that images are fitted into."""
    channels: Literal[1, 2, 3, 4] = 3
    """1: grey, 3: colour; 2 and 4: with transparency."""
    groups: Literal["folders", "none"] = "folders"
    """folders: images in one sub-folder of a class stay in one split or fold. none: these folders are ignored."""

    def source(self, seed: int, min_images: int, skip_broken: bool) -> ImageFolderDataSource:
        """The data source. It shows progress while it reads."""
        return ImageFolderDataSource(
            self.folder,
            seed=seed,
            image_size=self.image_size,
            channels=self.channels,
            labels=self.labels,
            groups=self.groups,
            min_images=min_images,
            skip_broken=skip_broken,
            progress=lambda images, total: display.counted(images, "reading images", total),
        )


@dataclass(frozen=True, kw_only=True)
class Folder(Images):
    """The images."""

    cross_validate: int | None = None
    """K: train on each K - 1 of K folds, and predict the fold that is left out. For small folders."""
    skip_broken: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave out images that cannot be read. They are listed in unreadable.csv in the run's folder."""


@command
def main():
    arguments = TrainingArguments(__doc__, {"folder": FOLDER_RECIPE}, own=Folder, decided_later=DECIDED_LATER)
    own, run = arguments.own, arguments.run
    if own.labels is None:  # else only the images that it lists are read
        check_apart(run.run_dir or Path("runs"), own.folder, "--run-dir")
        check_apart(run.model, own.folder, "--model")
    with joined(arguments.processes):
        source = own.source(arguments.seed, 10 if own.cross_validate is None else 3, own.skip_broken)
        with listing_unreadable(run):
            length = length_of_training(source.size("train"), arguments.batch_size)
        print(source.summary(for_folds=own.cross_validate is not None), end="\n\n", flush=True)
        lists = {UNREADABLE: unreadable_list(source.read.faults), LEAKS: leaks_list(source)}
        if own.cross_validate is None:
            train_and_save(arguments, source, "folder", lists, **length)
        else:
            cross_validate(arguments, source, own.cross_validate, lists, **length)


def length_of_training(images: int, batch_size: int) -> dict[str, int]:
    """Default epochs and patience: a small folder gets more epochs."""
    per_epoch = images / max(1, batch_size)  # the configuration refuses values below 1
    least, steps = FOLDER_PATIENCE
    return {
        "epochs": max(10, math.ceil(FOLDER_STEPS / per_epoch)),
        "patience": max(least, math.ceil(steps / per_epoch)),
    }


def leaks_list(source):
    """The rows of the list of images with copies, or images of their group, in two of the user's splits."""
    columns = "file", "split", "other", "other_split", "kind"
    rows = [
        (source.name_of(leak.path), leak.split, source.name_of(leak.other), leak.other_split, leak.kind)
        for leak in source.leaks
    ]
    return [columns, *rows]
