"""Writes MNIST's evaluation images to a file that predict.py reads, and that an image built afterwards carries."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import export_mnist

if __name__ == "__main__":
    sys.exit(export_mnist())
