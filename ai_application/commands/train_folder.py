"""Trains a network on a folder of images, one sub-folder a class, and evaluates it on a part of them it never saw."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ai_library import ImageFolderDataSource

from ..command_line import command
from ..configs import FOLDER_RECIPE, FOLDER_STEPS
from ..training_arguments import TrainingArguments
from ..training_run import train_and_save


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The images."""

    folder: tyro.conf.Positional[Path]
    """Its sub-folders are the classes."""
    image_size: int = 64
    """Side in pixels that images are fitted into."""
    channels: Literal[1, 2, 3, 4] = 3
    """1: grey, 3: colour; 2 and 4: with transparency."""
    groups: Literal["folders", "none"] = "folders"
    """folders: images in one sub-folder of a class stay together in one split. none: such folders mean nothing."""


@command
def main():
    epochs = f"10, or as many as {FOLDER_STEPS:,} steps take"
    arguments = TrainingArguments(__doc__, {"folder": FOLDER_RECIPE}, own=Folder, decided_later={"epochs": epochs})
    own = arguments.own
    source = ImageFolderDataSource(
        own.folder, seed=arguments.seed, image_size=own.image_size, channels=own.channels, groups=own.groups
    )
    # A small folder is gone through more often.
    epochs = max(10, math.ceil(FOLDER_STEPS * arguments.batch_size / source.size("train")))
    train_and_save(arguments, source, "folder", source.summary(), epochs=epochs)
