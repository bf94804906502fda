"""Small-image classification in JAX and Flax that draws its own data and tells how sure its figures are."""

from .classifier import Classifier
from .cnn import CNN
from .data import ArrayExamples, Examples, ShapeDataSource
from .errors import InputError
from .evaluation import Report, evaluate
from .model_file import ModelFileError, load_model, save_model
from .shapes import SHAPES, ShapeRanges
from .training import TrainConfig, Trainer, TrainState, create_train_state, train_step

__all__ = [
    "CNN",
    "SHAPES",
    "ArrayExamples",
    "Classifier",
    "Examples",
    "InputError",
    "ModelFileError",
    "Report",
    "ShapeDataSource",
    "ShapeRanges",
    "TrainConfig",
    "TrainState",
    "Trainer",
    "create_train_state",
    "evaluate",
    "load_model",
    "save_model",
    "train_step",
]
