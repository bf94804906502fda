"""Compares two models on the same labelled images: which one is better, or whether the images do not tell."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import compare_models

if __name__ == "__main__":
    sys.exit(compare_models())
