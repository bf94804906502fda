"""MNIST as a data source, how it is trained, the trained models and the evaluation images."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

MODELS = _FOLDER / "models"
EVALUATION = _FOLDER / "evaluation"
