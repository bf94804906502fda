"""Trains a network on generated shapes, evaluates it on shapes it never saw, and saves the model."""

from ai_library import ShapeDataSource

from ..command_line import command, joined
from ..configs import SHAPE_RECIPE
from ..training_arguments import TrainingArguments
from ..training_run import train_and_save


@command
def main():
    arguments = TrainingArguments(__doc__, {"shapes": SHAPE_RECIPE})
    with joined(arguments.processes):
        train_and_save(arguments, ShapeDataSource(seed=arguments.seed), "shapes")
