"""Four files like MNIST's with few images, which are prepared at once, for tests of what happens on the way."""

import gzip
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import compute_url_info

SIZES = {"train": 1_200, "t10k": 600}


def write_files(folder):
    """Writes them. Noise cannot be compressed, so that the data set takes 1.4 MB in any format."""
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        images, labels = rng.bytes(size * 28 * 28), bytes(range(10)) * (size // 10)
        for kind, content in (("images-idx3", bytes(16) + images), ("labels-idx1", bytes(8) + labels)):
            Path(folder, f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, 1))


def url_infos(folder):
    """What tfds would know of MNIST's files, if these were they."""
    return {tfds.image_classification.MNIST.URL + path.name: compute_url_info(path) for path in Path(folder).iterdir()}
