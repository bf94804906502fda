"""Trains the CNN on MNIST, evaluates it on the official test images, and saves the model."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application import MODELS
from ai_application.command_line import exit_status, train_and_save, training_parser
from ai_application.configs import PRESETS
from ai_application.mnist import MnistDataSource


def main():
    parser = training_parser(__doc__, epochs=None, model=MODELS / "mnist.msgpack")
    parser.add_argument("--preset", choices=PRESETS, default="accurate", help="(%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="tfds's data (%(default)s)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="the four official files (default: download)")
    arguments = parser.parse_args()

    model, config = PRESETS[arguments.preset]
    epochs = config.epochs if arguments.epochs is None else arguments.epochs
    source = MnistDataSource(seed=arguments.seed, data_dir=arguments.data_dir, files=arguments.mnist_files)
    train_and_save(arguments, model, source, replace(config, epochs=epochs, seed=arguments.seed))


if __name__ == "__main__":
    sys.exit(exit_status(main))
