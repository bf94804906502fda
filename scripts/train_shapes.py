"""Trains the CNN on generated shapes, evaluates it on shapes it never saw, and saves the model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application import MODELS
from ai_application.command_line import exit_status, train_and_save, training_parser
from ai_library import CNN, ShapeDataSource, TrainConfig


def main():
    parser = training_parser(__doc__, epochs=4, model=MODELS / "shapes.msgpack")
    arguments = parser.parse_args()
    source = ShapeDataSource(seed=arguments.seed)
    model = CNN(num_classes=source.num_classes)
    train_and_save(arguments, model, source, TrainConfig(epochs=arguments.epochs, seed=arguments.seed))


if __name__ == "__main__":
    sys.exit(exit_status(main))
