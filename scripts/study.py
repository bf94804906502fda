"""Trains several conditions with several seeds each, and reports which differ and how sure that is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application.start import study

if __name__ == "__main__":
    sys.exit(study())
