"""Trains a network on a folder of images with one sub-folder per class, and evaluates it on images it never saw."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import train_folder

if __name__ == "__main__":
    sys.exit(train_folder())
