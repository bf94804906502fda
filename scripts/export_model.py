"""Writes a trained model as ONNX, StableHLO or a page."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import export_model

if __name__ == "__main__":
    sys.exit(export_model())
