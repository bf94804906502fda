"""Exports a trained model for other software: as ONNX, as StableHLO for JAX, or as a page for browsers.

The file includes preprocessing, temperature and class names. ONNX and StableHLO take images (n, h, w, c) uint8 and
return probabilities (n, classes). On the page people draw, or open image files.
"""

import argparse
import os
from pathlib import Path

from ai_library import InputError, export_onnx, export_page, export_stablehlo, load_model

from ..command_line import command, shown
from ..own_networks import add_network_argument, network_classes

FORMATS = {"onnx": export_onnx, "stablehlo": export_stablehlo, "page": export_page}


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model file")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="onnx and page (one HTML file) support CNN and ResNet; stablehlo also supports networks of your own",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    add_network_argument(parser)
    arguments = parser.parse_args()
    classifier = load_model(arguments.model, network_classes(arguments.network))
    sources = [arguments.model, *(named.rpartition(":")[0] for named in arguments.network)]
    if os.path.realpath(arguments.output) in map(os.path.realpath, sources):
        raise InputError(f"{arguments.output} is the model itself, or its network: choose another --output")
    FORMATS[arguments.format](arguments.output, classifier)
    print(f"{shown(arguments.output)}: {arguments.output.stat().st_size:,} bytes")
