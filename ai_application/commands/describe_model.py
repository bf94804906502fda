"""Checks model files and tells what they hold."""

import argparse
from pathlib import Path

from ai_library import InputError, load_model

from ..command_line import command, shown
from ..own_networks import add_network_argument, network_classes


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="FILE", help="model to check")
    add_network_argument(parser)
    arguments = parser.parse_args()
    networks = network_classes(arguments.network)
    for path in arguments.models:
        classifier = load_model(path, networks)
        height, width, channels = classifier.image_shape
        print(f"{shown(path)}: {height}x{width}x{channels} images, {len(classifier.class_names)} classes")
        print(f"  classes     {', '.join(classifier.class_names)}")
        print(f"  temperature {classifier.temperature:.3f}")
        if evaluation := classifier.metrics.get("evaluation"):
            try:
                low, high = evaluation["accuracy_interval"]
                print(
                    f"  evaluation  accuracy {evaluation['accuracy']:.2%}  "
                    f"(95 % interval {low:.2%} to {high:.2%}, n = {evaluation['n']:,})"
                )
            except (LookupError, TypeError, ValueError) as error:  # metrics are what whoever saved them put there
                raise InputError(f"{path} has metrics of another form ({error!r}): train it again") from error
