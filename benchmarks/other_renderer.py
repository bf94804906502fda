"""Accuracy of the committed shapes' model on image files drawn by Pillow, read and predicted as by `predict.py`."""

import sys
import tempfile
from pathlib import Path

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import load_model
from ai_library.data.folders.samples import read_samples
from ai_library.reporting.predictions import predict_samples
from ai_library.tests.pillow_shapes import draw_pillow_folder


def main():
    classifier = load_model(ROOT / "ai_application/models/shapes.msgpack")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        draw_pillow_folder(images, classifier.class_names)
        outcome = predict_samples(classifier, read_samples(images, classifier), Path(folder) / "results")
    keep("other_renderer", str(outcome.report).splitlines(), "jax", "pillow")


if __name__ == "__main__":
    main()
