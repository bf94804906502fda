"""Trains a network on MNIST, evaluates it on the official test images, and saves the model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import train_mnist

if __name__ == "__main__":
    sys.exit(train_mnist())
