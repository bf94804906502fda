"""Trains the CNN on a folder of images, one sub-folder a class, and evaluates it on a part of them it never saw."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import train_folder

if __name__ == "__main__":
    sys.exit(train_folder())
