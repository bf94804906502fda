"""Checks model files and prints what they hold."""

import argparse
from pathlib import Path

from ai_library import load_model
from ai_library.files.text import listed
from ai_library.reporting.findings import leaks_told

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
        print(f"  classes     {listed(classifier.class_names)}")
        print(f"  temperature {classifier.temperature:.3f}")
        if classifier.metrics.get("evaluation"):
            low, high = (classifier.metric("evaluation", "accuracy_interval", end) for end in (0, 1))
            accuracy, n = (classifier.metric("evaluation", name) for name in ("accuracy", "n"))
            if None in (low, high, accuracy, n):  # a program may have saved any metrics
                print("  evaluation  its metrics have another form than this code knows")
            else:
                print(f"  evaluation  accuracy {accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%}, n = {n:,})")
                if told := leaks_told(classifier):
                    print(f"              {told}")
