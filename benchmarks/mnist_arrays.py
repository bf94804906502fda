"""The official MNIST files as arrays, for the peers: no library of theirs reads them without a download."""

import gzip
from pathlib import Path

import numpy as np


def read_mnist(folder):
    """[(train images (n, 28, 28), labels (n,)), (test images, labels)], uint8, of the four files in a folder."""

    def read(name, offset):
        return np.frombuffer(gzip.decompress((Path(folder) / name).read_bytes()), np.uint8, offset=offset)

    return [
        (read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28), read(f"{part}-labels-idx1-ubyte.gz", 8))
        for part in ("train", "t10k")
    ]
