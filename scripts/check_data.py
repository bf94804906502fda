"""Looks for what is wrong in a folder of images: labels, copies, and images unlike the rest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import check_data

if __name__ == "__main__":
    sys.exit(check_data())
