"""Trains a network on MNIST, evaluates it on the official test images, and saves the model."""

from dataclasses import dataclass
from pathlib import Path

from ..command_line import command, joined
from ..configs import MNIST_RECIPES
from ..mnist import MnistDataSource
from ..training_arguments import TrainingArguments
from ..training_run import train_and_save


@dataclass(frozen=True, kw_only=True)
class Mnist:
    """Where to find MNIST."""

    data_dir: Path = Path("data")
    """Folder for the data that tfds prepares."""
    mnist_files: Path | None = None
    """Folder with the four official files. None: they are downloaded."""


@command
def main():
    arguments = TrainingArguments(__doc__, MNIST_RECIPES, own=Mnist)
    source = MnistDataSource(seed=arguments.seed, data_dir=arguments.own.data_dir, files=arguments.own.mnist_files)
    with joined(arguments.processes):
        train_and_save(arguments, source, "mnist")
