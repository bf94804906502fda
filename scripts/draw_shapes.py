"""Draws shapes as PNG files, in sub-folders named like their classes: data for predict.py, or to look at."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import draw_shapes

if __name__ == "__main__":
    sys.exit(draw_shapes())
