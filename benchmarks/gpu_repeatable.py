"""Tests whether training on a GPU gives the same bits each time, and measures the cost:

    python benchmarks/gpu_repeatable.py; XLA_FLAGS=--xla_gpu_deterministic_ops=true python benchmarks/gpu_repeatable.py

Runs 100 steps three times from the same state. Prints a digest of the weights after each, and the time of the last.
"""

import hashlib
import itertools
import sys
import time

import jax
import numpy as np
from measuring import ROOT

sys.path.insert(0, str(ROOT))

from ai_library import NETWORKS, ArrayDataSource, ShapeDataSource, TrainConfig, create_train_state
from ai_library.training.steps import train_steps


def digest(tree):
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))).hexdigest()[:8]


def main():
    shapes, rng = ShapeDataSource(), np.random.default_rng(0)
    noise = rng.integers(0, 256, (20_000, 64, 64, 1), np.uint8), rng.integers(0, 9, 20_000)
    sources = {"drawn": shapes, "arrays": ArrayDataSource(train=noise)}
    cases = itertools.product(("float32", "bfloat16"), ("CNN", "ResNet"), sources, (128, 1024))
    for precision, network, images, batch_size in cases:
        examples = sources[images].device_examples("train")
        order = np.random.default_rng(0).integers(0, 20_000, (100, batch_size))
        found = []
        for _ in range(3):
            model, config = NETWORKS[network](num_classes=9), TrainConfig(precision=precision)
            state = jax.block_until_ready(create_train_state(model, shapes.image_shape, config, steps=1000))
            start = time.perf_counter()
            state, _ = train_steps(state, examples, order)
            jax.block_until_ready(state.params)
            seconds = time.perf_counter() - start
            found.append(digest(state.params))
        same = "the same bits" if len(set(found)) == 1 else "other bits"
        print(
            f"{precision} {network} {images} {batch_size}: {seconds * 10:.3f} ms a step, {same} ({found[0]})",
            flush=True,
        )


if __name__ == "__main__":
    main()
