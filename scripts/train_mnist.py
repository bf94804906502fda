"""Trains the CNN on MNIST, evaluates it on the official test images, and saves the model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.mnist import MnistDataSource
from ai_library import CNN, Augmentation, TrainConfig
from ai_library.command_line import exit_status, train_and_save, training_parser


def main():
    parser = training_parser(__doc__, epochs=16, model="ai_application/models/mnist.msgpack")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="tfds's data (%(default)s)")
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="the four official files (default: download)")
    arguments = parser.parse_args()
    source = MnistDataSource(seed=arguments.seed, data_dir=arguments.data_dir, files=arguments.mnist_files)
    model = CNN(num_classes=source.num_classes, patch=2)
    config = TrainConfig(
        epochs=arguments.epochs,
        batch_size=128,
        learning_rate=4e-3,
        label_smoothing=0.1,
        ema_decay=0.995,
        augmentation=Augmentation(shift=2, rotation=10, scale=0.1, shear=10),
        seed=arguments.seed,
    )
    train_and_save(arguments, model, source, config)


if __name__ == "__main__":
    sys.exit(exit_status(main))
