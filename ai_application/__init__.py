"""Commands, recipes, trained models and evaluation images, and MNIST as a data source."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

MODELS = _FOLDER / "models"
EVALUATION = _FOLDER / "evaluation"
