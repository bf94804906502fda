"""Predicts images with a trained model. Writes predictions.csv and report.html, and metrics if labels are known.

With neither --model nor --data it predicts the evaluation images of the application: the shapes, and MNIST's test
images, into a sub-folder of the results, if the command that exports MNIST has written them.
"""

import argparse
from pathlib import Path

from ai_library import InputError, load_model
from ai_library.data.folders.samples import read_samples
from ai_library.data.images.reading import told
from ai_library.reporting.predictions import predict_samples
from ai_library.runtime import display
from ai_library.runtime.cpu import give_freed_memory_back
from ai_library.runtime.devices import device_name

from .. import EVALUATION, MODELS
from ..command_line import (
    add_groups_argument,
    add_process_arguments,
    check_apart,
    command,
    command_line,
    command_of,
    joined,
    short,
    shown,
)
from ..own_networks import add_network_argument, network_classes


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help=f"model file ({short(MODELS / 'shapes.msgpack')})")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="an image, a folder of images (sub-folders named like classes are labels), a zip of one, a CSV file of "
        f"pixels, or an .npz ({short(EVALUATION / 'shapes')})",
    )
    parser.add_argument(
        "--unlabelled",
        action="store_true",
        help="predict without labels: the names of sub-folders of --data, or the labels in the file, are ignored",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results"), metavar="DIR", help="folder for the results (%(default)s)"
    )
    add_groups_argument(parser)
    add_network_argument(parser)
    add_process_arguments(parser)
    arguments = parser.parse_args()
    give_freed_memory_back()
    with joined(arguments):
        predict_all(arguments)


def predict_all(arguments):
    """Predicts the images that the arguments name, or the application's evaluation images."""
    predict(
        arguments.model or short(MODELS / "shapes.msgpack"),
        arguments.data or short(EVALUATION / "shapes"),
        arguments.output,
        network_classes(arguments.network),
        arguments.unlabelled,
        arguments.groups == "folders",
    )
    if not arguments.model and not arguments.data:
        digits = short(EVALUATION / "mnist.npz")
        if digits.exists():
            print()
            predict(short(MODELS / "mnist.msgpack"), digits, arguments.output / "mnist")
        else:
            print(f"MNIST is left out: {digits} is not there, '{command_of('export_mnist')}' writes it")


def predict(model, data, output, networks=(), unlabelled=False, groups=True):
    """Predicts one set of images; prints a summary and the path of the results."""
    check_apart(output, data, "--output")
    classifier = load_model(model, networks)
    samples = read_samples(data, classifier, unlabelled=unlabelled, groups=groups)
    for note in samples.notes:
        print(shown(note))
    findings = predict_samples(
        classifier, display.counted(samples, "predicting", samples.total), output, command_line()
    )
    if findings.report:
        print(f"{findings.report}\n")
    for line in told(findings.remarks):
        print(line)
    page = shown(output / "report.html")
    unreadable = f"{findings.unreadable:,} of them unreadable"
    print(f"{findings.images:,} images predicted on {device_name()}, {unreadable}: see {page}")
    if findings.unreadable == findings.images:
        raise InputError(
            f"none of the images in {data} could be read: {findings.fault}; predictions.csv has the reason for each"
        )
