"""Predicts images with a trained model: predictions.csv and report.html, and metrics where labels are known."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_library import InputError, load_model
from ai_library.command_line import exit_status
from ai_library.prediction import predict_samples, read_samples


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("ai_application/models/shapes.msgpack"),
        metavar="FILE",
        help="model (%(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("ai_application/evaluation/shapes"),
        metavar="PATH",
        help="an image, a folder of images (sub-folders named like classes are labels), or an .npz (%(default)s)",
    )
    parser.add_argument("--output", type=Path, default=Path("results"), metavar="DIR", help="results (%(default)s)")
    arguments = parser.parse_args()

    if arguments.output.resolve().is_relative_to(arguments.data.resolve()):
        raise InputError(f"{arguments.output} lies in {arguments.data}, whose images are read: choose another --output")

    classifier = load_model(arguments.model)
    outcome = predict_samples(classifier, read_samples(arguments.data, classifier), arguments.output)
    if outcome.report:
        print(f"{outcome.report}\n")
    print(f"{outcome.images:,} images predicted, {outcome.unreadable:,} of them unreadable: see {arguments.output}")
    if outcome.unreadable == outcome.images:
        raise InputError(f"none of the images in {arguments.data} could be read: predictions.csv says why")


if __name__ == "__main__":
    sys.exit(exit_status(main))
