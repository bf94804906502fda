"""The data that the peers' examples train on, as one file, and the report of their progress."""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np

SPLITS = ("train", "test")


def write_mnist(file, folder):
    """Writes MNIST, from the four official files in a folder; no library of the peers reads them without a download."""

    def read(name, offset):
        return np.frombuffer(gzip.decompress((Path(folder) / name).read_bytes()), np.uint8, offset=offset)

    parts = {"train": "train", "test": "t10k"}
    images = {split: read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28) for split, part in parts.items()}
    labels = {split: read(f"{part}-labels-idx1-ubyte.gz", 8) for split, part in parts.items()}
    _write(file, images, labels)


def write_shapes(file, source):
    """Writes the training and evaluation splits of a `ShapeDataSource`."""
    splits = {"train": "train", "test": "evaluation"}
    examples = {split: source.examples(name, range(source.size(name))) for split, name in splits.items()}
    _write(
        file,
        {split: images[..., 0] for split, (images, _) in examples.items()},
        {split: labels for split, (_, labels) in examples.items()},
    )


def _write(file, images, labels):
    arrays = {f"{split}_images": images[split] for split in SPLITS}
    np.savez(file, **arrays, **{f"{split}_labels": labels[split] for split in SPLITS})


def read(file):
    """[(training images (n, h, w) uint8, labels (n,)), (test images, labels)]."""
    with np.load(file) as arrays:
        return [(arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64)) for split in SPLITS]


def peer_parser(description):
    """The arguments of every peer's example."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, metavar="NPZ", help="written by this module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=0.99, help="accuracy at which to stop (%(default)s)")
    parser.add_argument("--give-up", type=float, default=900.0, metavar="S", help="seconds (%(default)s)")
    parser.add_argument("--start", type=float, default=time.time(), help="when the process was started (time.time())")
    return parser


def over(arguments, epoch, accuracy):
    """Prints `epoch accuracy seconds-since-start`; returns whether the target is reached or the time is up."""
    seconds = time.time() - arguments.start
    print(epoch, accuracy, seconds, flush=True)
    return accuracy >= arguments.target or seconds >= arguments.give_up
