"""Compares two models on the same labelled images: says which one is better, if the images are enough to tell."""

import argparse
from pathlib import Path

import numpy as np

from ai_library import InputError, Report, compare, load_model
from ai_library.data.folders.samples import group_numbers, read_samples
from ai_library.files.text import counted, listed

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
    found = [read_samples(arguments.data, each, groups=groups) for each in (first, second)]
    for note in found[0].notes:
        print(shown(note))
    left_out: list[str] = []
    one, other = report(first, found[0], left_out), report(second, found[1], [])
    if left_out:
        print(shown(f"{counted(len(left_out), 'image')} left out: {listed(left_out, 3)}"))
    if one is None or other is None:
        raise InputError(
            f"{arguments.data} has no readable image with a label: put images into sub-folders named like classes"
        )
    print(f"first       {shown(arguments.first)}\nsecond      {shown(arguments.second)}\n\n{compare(one, other)}")


def report(classifier, samples, left_out):
    """The report of a classifier on the readable images that have a label. The others, and why, go into `left_out`."""
    labels, names = [], []

    def images():
        for sample in samples:
            if sample.label is not None and sample.image is not None:
                labels.append(sample.label)
                names.append(sample.group)
                yield sample.image[np.newaxis]
            else:
                left_out.append(f"{sample.name} ({sample.error or 'without a label'})")

    logits = [*classifier.predict_logits(images())]
    if not labels:
        return None
    probabilities = classifier.probabilities(np.concatenate(logits))
    return Report(probabilities, np.array(labels), classifier.class_names, groups=group_numbers(names))
