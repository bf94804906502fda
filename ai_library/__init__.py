"""Small-image classification in JAX and Flax that draws its own data and tells how sure its figures are."""

from .augmentation import Augmentation
from .calibration import fit_temperature
from .classifier import Classifier
from .cnn import CNN
from .comparison import Comparison, compare
from .corruptions import CORRUPTIONS, corrupt, evaluate_corrupted
from .data import ArrayExamples, Examples, ShapeDataSource
from .errors import InputError
from .evaluation import Report, evaluate
from .image_folder import ImageFolderDataSource
from .model_file import ModelFileError, load_model, save_model
from .shapes import SHAPES, ShapeRanges
from .slices import Slice, accuracy_by, accuracy_grid, factor_table, find_slices
from .stop_signals import TrainingStopped
from .training import TrainConfig, Trainer, TrainState, create_train_state, train_step

__all__ = [
    "CNN",
    "CORRUPTIONS",
    "SHAPES",
    "ArrayExamples",
    "Augmentation",
    "Classifier",
    "Comparison",
    "Examples",
    "ImageFolderDataSource",
    "InputError",
    "ModelFileError",
    "Report",
    "ShapeDataSource",
    "ShapeRanges",
    "Slice",
    "TrainConfig",
    "TrainState",
    "Trainer",
    "TrainingStopped",
    "accuracy_by",
    "accuracy_grid",
    "compare",
    "corrupt",
    "create_train_state",
    "evaluate",
    "evaluate_corrupted",
    "factor_table",
    "find_slices",
    "fit_temperature",
    "load_model",
    "save_model",
    "train_step",
]
