"""Trains the CNN on a folder of images, one sub-folder a class, and evaluates it on a part of them it never saw."""

import math
from pathlib import Path

from ai_library import CNN, Augmentation, ImageFolderDataSource, TrainConfig

from ..command_line import command, train_and_save, training_parser


@command
def main():
    parser = training_parser(__doc__, epochs=None, model="model.msgpack")
    parser.add_argument("folder", type=Path, help="its sub-folders are the classes")
    parser.add_argument("--image-size", type=int, default=64, help="side that images are fitted into (%(default)s)")
    parser.add_argument(
        "--channels", type=int, choices=(1, 2, 3, 4), default=3, help="1: grey, 3: colour (%(default)s)"
    )
    arguments = parser.parse_args()
    source = ImageFolderDataSource(
        arguments.folder, seed=arguments.seed, image_size=arguments.image_size, channels=arguments.channels
    )
    batch_size = 32
    enough = max(10, math.ceil(1_000 * batch_size / source.size("train")))  # a small folder is gone through more often
    config = TrainConfig(
        epochs=enough if arguments.epochs is None else arguments.epochs,
        batch_size=batch_size,
        label_smoothing=0.1,
        augmentation=Augmentation(shift=3, rotation=10, scale=0.1, shear=5),
        seed=arguments.seed,
    )
    train_and_save(arguments, CNN(num_classes=source.num_classes), source, config)
