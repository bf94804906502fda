"""Trains the CNN on MNIST, evaluates it on the official test images, and saves the model."""

from dataclasses import replace
from pathlib import Path

from .. import MODELS
from ..command_line import command, short, train_and_save, training_parser
from ..configs import PRESETS
from ..mnist import MnistDataSource


@command
def main():
    parser = training_parser(__doc__, epochs=None, model=short(MODELS / "mnist.msgpack"))
    parser.add_argument("--preset", choices=PRESETS, default="accurate", help="(%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="tfds's data (%(default)s)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="the four official files (default: download)")
    arguments = parser.parse_args()

    model, config = PRESETS[arguments.preset]
    epochs = config.epochs if arguments.epochs is None else arguments.epochs
    source = MnistDataSource(seed=arguments.seed, data_dir=arguments.data_dir, files=arguments.mnist_files)
    train_and_save(arguments, model, source, replace(config, epochs=epochs, seed=arguments.seed))
