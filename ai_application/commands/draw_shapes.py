"""Draws shapes as PNG files into one sub-folder per class: data for predict.py, or to look at."""

import argparse
from pathlib import Path

from PIL import Image

from ai_library import InputError, ShapeDataSource
from ai_library.data.source import SPLITS
from ai_library.files.atomic import replacing

from ..command_line import command, shown


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("shapes"), metavar="DIR", help="folder to write (%(default)s)"
    )
    parser.add_argument("--number", type=int, default=450, help="number of images, all classes together (%(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="evaluation", help="split of the images (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images (%(default)s)")
    arguments = parser.parse_args()
    if arguments.number < 1:
        raise InputError(f"--number must be 1 or more, got {arguments.number}")

    source = ShapeDataSource(seed=arguments.seed)
    if arguments.number > source.size(arguments.split):
        raise InputError(
            f"--number must be at most {source.size(arguments.split):,}, the size of the split, got {arguments.number}"
        )
    if any(arguments.output.glob("*/*.png")):
        raise InputError(f"{arguments.output} holds images already: choose another folder, or remove it")
    images, labels = source.examples(arguments.split, range(arguments.number))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        with replacing(arguments.output / source.class_names[label] / f"{index:05}.png", "wb") as file:
            Image.fromarray(image.squeeze(2)).save(file, format="PNG", optimize=True)
    print(f"{len(images):,} images in {shown(arguments.output)}")
