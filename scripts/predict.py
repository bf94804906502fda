"""Predicts images with a trained model: predictions.csv and report.html, and metrics where labels are known.

With neither --model nor --data it predicts the evaluation images that come with the application: the shapes, and in a
sub-folder of the results MNIST's where `export_mnist.py` has put them.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_application import EVALUATION, MODELS
from ai_application.command_line import add_process_arguments, command_line, exit_status, joined
from ai_library import InputError, load_model
from ai_library.data.samples import read_samples
from ai_library.reporting.predictions import predict_samples
from ai_library.runtime.cpu import give_freed_memory_back


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help=f"model ({MODELS / 'shapes.msgpack'})")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="an image, a folder of images (sub-folders named like classes are labels), or an .npz "
        f"({EVALUATION / 'shapes'})",
    )
    parser.add_argument("--output", type=Path, default=Path("results"), metavar="DIR", help="results (%(default)s)")
    add_process_arguments(parser)
    arguments = parser.parse_args()
    give_freed_memory_back()
    with joined(arguments):
        predict_all(arguments)


def predict_all(arguments):
    """Predicts the images that the arguments name, or those of the application."""
    predict(arguments.model or MODELS / "shapes.msgpack", arguments.data or EVALUATION / "shapes", arguments.output)
    if not arguments.model and not arguments.data:
        digits = EVALUATION / "mnist.npz"
        if digits.exists():
            print()
            predict(MODELS / "mnist.msgpack", digits, arguments.output / "mnist")
        else:
            print(f"MNIST is left out: {digits} is not there, 'python scripts/export_mnist.py' writes it")


def predict(model, data, output):
    """Predicts one set of images; prints what came out and where it lies."""
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(data)):
        raise InputError(f"{output} lies in {data}, whose images are read: choose another --output")
    classifier = load_model(model)
    findings = predict_samples(classifier, read_samples(data, classifier), output, command_line())
    if findings.report:
        print(f"{findings.report}\n")
    print(f"{findings.images:,} images predicted, {findings.unreadable:,} of them unreadable: see {output}/report.html")
    if findings.unreadable == findings.images:
        raise InputError(f"none of the images in {data} could be read: predictions.csv says why")


if __name__ == "__main__":
    sys.exit(exit_status(main))
