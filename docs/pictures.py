"""Makes `shapes.png` and `shapes_confusion.png` from the committed model: python docs/pictures.py"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ai_library import ShapeDataSource, evaluate, load_model


def main():
    source = ShapeDataSource()
    source.show(27).savefig(ROOT / "docs/shapes.png", dpi=80)
    report = evaluate(load_model(ROOT / "ai_application/models/shapes.msgpack"), source)
    report.confusion_figure().savefig(ROOT / "docs/shapes_confusion.png", dpi=80)


if __name__ == "__main__":
    main()
