"""Small-image classification in JAX and Flax that draws its own data and tells how sure its figures are.

Each public name is imported when it is first asked for: JAX and Flax take a second or two, which what needs neither,
such as the prediction of one image, does not have to wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_MODULES = {
    "CNN": "cnn",
    "CORRUPTIONS": "corruptions",
    "SHAPES": "shapes",
    "ArrayExamples": "data",
    "Augmentation": "augmentation",
    "Classifier": "classifier",
    "Comparison": "comparison",
    "Examples": "data",
    "ImageFolderDataSource": "image_folder",
    "InputError": "errors",
    "ModelFileError": "model_file",
    "Report": "evaluation",
    "ShapeDataSource": "data",
    "ShapeRanges": "shapes",
    "Slice": "slices",
    "TrainConfig": "training",
    "TrainState": "training",
    "Trainer": "trainer",
    "TrainingStopped": "stop_signals",
    "accuracy_by": "slices",
    "accuracy_grid": "slices",
    "compare": "comparison",
    "corrupt": "corruptions",
    "create_train_state": "training",
    "evaluate": "evaluation",
    "evaluate_corrupted": "corruptions",
    "factor_table": "slices",
    "find_slices": "slices",
    "fit_temperature": "calibration",
    "load_model": "model_file",
    "save_model": "model_file",
    "train_step": "training",
}
__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:  # the same for type checkers and editors, which read instead of running
    from .augmentation import Augmentation as Augmentation
    from .calibration import fit_temperature as fit_temperature
    from .classifier import Classifier as Classifier
    from .cnn import CNN as CNN
    from .comparison import Comparison as Comparison
    from .comparison import compare as compare
    from .corruptions import CORRUPTIONS as CORRUPTIONS
    from .corruptions import corrupt as corrupt
    from .corruptions import evaluate_corrupted as evaluate_corrupted
    from .data import ArrayExamples as ArrayExamples
    from .data import Examples as Examples
    from .data import ShapeDataSource as ShapeDataSource
    from .errors import InputError as InputError
    from .evaluation import Report as Report
    from .evaluation import evaluate as evaluate
    from .image_folder import ImageFolderDataSource as ImageFolderDataSource
    from .model_file import ModelFileError as ModelFileError
    from .model_file import load_model as load_model
    from .model_file import save_model as save_model
    from .shapes import SHAPES as SHAPES
    from .shapes import ShapeRanges as ShapeRanges
    from .slices import Slice as Slice
    from .slices import accuracy_by as accuracy_by
    from .slices import accuracy_grid as accuracy_grid
    from .slices import factor_table as factor_table
    from .slices import find_slices as find_slices
    from .stop_signals import TrainingStopped as TrainingStopped
    from .trainer import Trainer as Trainer
    from .training import TrainConfig as TrainConfig
    from .training import TrainState as TrainState
    from .training import create_train_state as create_train_state
    from .training import train_step as train_step
