"""Trains a network on generated shapes, evaluates it on shapes it never saw, and saves the model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import train_shapes

if __name__ == "__main__":
    sys.exit(train_shapes())
