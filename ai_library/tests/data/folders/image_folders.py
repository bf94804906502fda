"""Draws small folders of images for the tests of what is read from them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def draw_folder(root, images, ending=".png", side=12, seed=0):
    """Writes noise in colour into sub-folders of `root`: of `images` by the sub-folder so many, all of them different.
    A text in place of a number is written into a file of that name.
    """
    rng = np.random.default_rng(seed)
    for place, count in images.items():
        path = Path(root, place)
        if isinstance(count, str):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(count)
            continue
        path.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise = rng.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(noise).save(path / f"{index:06}{ending}")
    return Path(root)


def sizes(source):
    """The numbers of images of each class, by the split."""
    return {split: list(counts) for split, counts in source.summary().counts.items()}


def write_rows(path, *rows, delimiter=","):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path
