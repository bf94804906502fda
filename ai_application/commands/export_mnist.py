"""Writes MNIST's evaluation images to a file for predict.py. Container images built afterwards contain it."""

import argparse
import io
from pathlib import Path

import numpy as np

from ai_library.files.atomic import write_bytes

from .. import EVALUATION
from ..command_line import command, short, shown
from ..mnist import MnistDataSource


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder of tfds's data (%(default)s)"
    )
    parser.add_argument(
        "--mnist-files", type=Path, metavar="DIR", help="folder of the four official files (default: download)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=short(EVALUATION / "mnist.npz"),
        metavar="FILE",
        help="the .npz to write (%(default)s)",
    )
    arguments = parser.parse_args()

    source = MnistDataSource(data_dir=arguments.data_dir, files=arguments.mnist_files)
    images, labels = source.examples("evaluation", range(source.size("evaluation")))
    archive = io.BytesIO()
    np.savez_compressed(archive, images=images, labels=labels)
    write_bytes(arguments.output, archive.getvalue())
    print(f"{len(labels):,} images: {shown(arguments.output)}")
