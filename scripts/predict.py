"""Predicts images with a trained model. Writes predictions.csv and report.html, and metrics if labels are known."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import predict

if __name__ == "__main__":
    sys.exit(predict())
