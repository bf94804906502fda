"""Trains the CNN on generated shapes, evaluates it on shapes it never saw, and saves the model."""

from ai_library import CNN, ShapeDataSource, TrainConfig

from .. import MODELS
from ..command_line import command, short, train_and_save, training_parser


@command
def main():
    parser = training_parser(__doc__, epochs=4, model=short(MODELS / "shapes.msgpack"))
    arguments = parser.parse_args()
    source = ShapeDataSource(seed=arguments.seed)
    model = CNN(num_classes=source.num_classes)
    train_and_save(arguments, model, source, TrainConfig(epochs=arguments.epochs, seed=arguments.seed))
