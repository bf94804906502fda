"""MNIST as a data source, how it is trained, the trained models and the evaluation images."""

import os
from pathlib import Path

_FOLDER = Path(os.path.relpath(Path(__file__).resolve().parent))  # short in messages, where it is the current folder's

MODELS = _FOLDER / "models"
EVALUATION = _FOLDER / "evaluation"
