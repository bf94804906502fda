"""MNIST's model on the test images alone, and averaged over nine views of each, shifted by up to one pixel.

    python benchmarks/shifted_views.py DIR

DIR has MNIST's four files. The model is the committed one. Its probabilities are averaged; nothing is chosen by the
test images.
"""

import argparse
import sys

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_application import MODELS
from ai_application.mnist import MnistDataSource
from ai_library import Report, compare, load_model

SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="DIR")
    parser.add_argument("--data-dir", default="data", help="of the data that tfds prepares (%(default)s)")
    arguments = parser.parse_args()
    classifier = load_model(MODELS / "mnist.msgpack")
    source = MnistDataSource(files=arguments.files, data_dir=arguments.data_dir)
    lines = []
    for split in ("validation", "evaluation"):
        images, labels = source.examples(split, range(source.size(split)))
        views = [classifier.predict_proba(np.roll(images, shift, axis=(1, 2))) for shift in SHIFTS]  # margins are empty
        alone = Report(classifier.predict_proba(images), labels, source.class_names)
        averaged = Report(np.mean(views, axis=0), labels, source.class_names)
        for name, report in (("one view", alone), ("nine views", averaged)):
            low, high = report.accuracy_interval
            lines.append(
                f"{split:<12}{name:<12}{report.accuracy:.2%} right of {report.n:,} ({low:.2%} to {high:.2%}), "
                f"log loss {report.log_loss:.4f}"
            )
        found = compare(alone, averaged)
        lines.append(f"{split:<12}{'':<12}McNemar's test: p = {found.p_value:.2g}")
    keep("shifted_views", lines, "jax")


if __name__ == "__main__":
    main()
