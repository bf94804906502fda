"""Compares two models on the same labelled images: says which one is better, if the images are enough to tell."""

import argparse
from pathlib import Path

import numpy as np

from ai_library import InputError, Report, compare, load_model
from ai_library.data.folders.samples import group_numbers, read_samples

from .. import EVALUATION
from ..command_line import add_groups_argument, command, short, shown
from ..own_networks import add_network_argument, network_classes


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, metavar="FIRST", help="the model to compare with")
    parser.add_argument("second", type=Path, metavar="SECOND", help="the model that may be better")
    parser.add_argument(
        "--data",
        type=Path,
        default=short(EVALUATION / "shapes"),
        metavar="PATH",
        help="a folder with sub-folders named like classes, or an .npz with labels (%(default)s)",
    )
    add_groups_argument(parser)
    add_network_argument(parser)
    arguments = parser.parse_args()
    networks, groups = network_classes(arguments.network), arguments.groups == "folders"
    first, second = load_model(arguments.first, networks), load_model(arguments.second, networks)
    for note in read_samples(arguments.data, first, groups=groups).notes:
        print(shown(note))
    comparison = compare(report(first, arguments.data, groups), report(second, arguments.data, groups))
    print(f"first       {shown(arguments.first)}\nsecond      {shown(arguments.second)}\n\n{comparison}")


def report(classifier, data, groups):
    """The report of a classifier on the readable images that have a label."""
    labels, names = [], []

    def images():
        for sample in read_samples(data, classifier, groups=groups):
            if sample.label is not None and sample.image is not None:
                labels.append(sample.label)
                names.append(sample.group)
                yield sample.image[np.newaxis]

    logits = [*classifier.predict_logits(images())]
    if not labels:
        raise InputError(f"{data} has no readable image with a label: put images into sub-folders named like classes")
    probabilities = classifier.probabilities(np.concatenate(logits))
    return Report(probabilities, np.array(labels), classifier.class_names, groups=group_numbers(names))
