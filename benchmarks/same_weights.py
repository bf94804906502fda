"""The same weights for every framework of the prediction benchmark, and the logits that they give.

One .npz holds a network's name, its weights by linen's names, a few images, and their logits, computed in plain numpy
in float64. Every contestant builds its own model from the weights, and is checked against these logits before it is
timed. This module imports neither JAX nor a peer, so that no process pays for another's imports.
"""

import sys
from pathlib import Path

import numpy as np
from networks import CLASSES, IMAGE_SIDE, NETWORKS, Network

UNIT = 512
"""Images of one unit of work in bulk."""
BATCH_SIZES = (16, 64, 256)
"""Of which every contestant takes the one that it is fastest with."""
EPSILON = 1e-5
"""That BatchNorm adds to a variance."""


class SameWeights:
    """What the file holds: `network`, `variables` as linen nests them, `images` (n, 64, 64, 1) uint8, and `logits`
    (n, 9) float64."""

    def __init__(self, file):
        with np.load(file) as arrays:
            self.name = str(arrays["name"])
            self.images, self.logits = arrays["images"], arrays["logits"]
            self.variables = {"params": {}, "batch_stats": {}}
            for key in arrays.files:
                if "/" in key:
                    collection, layer, leaf = key.split("/")
                    self.variables[collection].setdefault(layer, {})[leaf] = arrays[key]
        self.network = NETWORKS[self.name]

    def of(self, layers, kinds):
        """Yields (layer, its arrays by linen's names) of those layers, in the network's order, whose type is in `kinds`
        {type: "Conv", "BatchNorm" or "Dense"}."""
        seen = dict.fromkeys(kinds.values(), 0)
        for layer in layers:
            if kind := kinds.get(type(layer)):
                name = f"{kind}_{seen[kind]}"
                seen[kind] += 1
                yield layer, {**self.variables["params"][name], **self.variables["batch_stats"].get(name, {})}

    def channels_first(self):
        """The same weights for networks of (b, c, h, w): their first dense layer sees the cells in another order."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        first = self.variables["params"]["Dense_0"]
        channels = self.network.features[-1]
        kernel = first["kernel"].reshape(-1, channels, first["kernel"].shape[1]).swapaxes(0, 1)
        params = {**self.variables["params"], "Dense_0": {**first, "kernel": kernel.reshape(first["kernel"].shape)}}
        other.variables = {**self.variables, "params": params}
        return other

    def check(self, logits, tolerance=1e-4):
        """Raises `ValueError` where logits differ by more than that share of the largest."""
        error = np.abs(np.asarray(logits, np.float64) - self.logits).max() / np.abs(self.logits).max()
        if not error <= tolerance:
            raise ValueError(f"the logits are off by {error:.1e} of the largest, and {tolerance} is allowed")


def write(file, name: str, variables=None):
    """Writes the file of a network: with `variables` {"params", "batch_stats"}, or with random ones."""
    network, rng = NETWORKS[name], np.random.default_rng(0)
    variables = variables or _random(network, rng)
    images = rng.integers(0, 256, (16, IMAGE_SIDE, IMAGE_SIDE, 1), np.uint8)
    flat = {
        f"{collection}/{layer}/{leaf}": array
        for collection, layers in variables.items()
        for layer, leaves in layers.items()
        for leaf, array in leaves.items()
    }
    np.savez(file, name=name, images=images, logits=plain_logits(network, variables, images), **flat)


def plain_logits(network: Network, variables, images):
    """Logits (n, 9) float64 of images (n, 64, 64, 1) uint8, shift by shift of the kernels."""
    params, statistics = variables["params"], variables["batch_stats"]

    def norm(x, layer):
        p, s = params[f"BatchNorm_{layer}"], statistics[f"BatchNorm_{layer}"]
        return (x - s["mean"]) / np.sqrt(s["var"].astype(float) + EPSILON) * p["scale"] + p["bias"]

    def pool(x):
        return np.max([x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], axis=0)

    patch = network.patch
    x = images / 127.5 - 1.0
    x = np.concatenate([x[:, row::patch, column::patch] for row in range(patch) for column in range(patch)], axis=3)
    for layer in range(len(network.features)):
        kernel, (h, w) = params[f"Conv_{layer}"]["kernel"].astype(float), x.shape[1:3]
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = sum(
            x[:, row : row + h, column : column + w] @ kernel[row, column] for row in range(3) for column in range(3)
        )
        if network.pool_first and layer in network.pooled:
            x = pool(x)
        x = np.maximum(norm(x, layer), 0)
        if not network.pool_first and layer in network.pooled:
            x = pool(x)
    first, last = params["Dense_0"], params["Dense_1"]
    x = x.reshape(len(x), -1) @ first["kernel"].astype(float)
    x = norm(x, len(network.features)) if network.dense_norm else x + first["bias"]
    return np.maximum(x, 0) @ last["kernel"].astype(float) + last["bias"]


def _random(network, rng):
    """Like those of a trained network: no statistic is 0 or 1, and slopes have both signs."""
    params, statistics = {}, {}

    def weights(*shape):
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)

    def norm(layer, width):
        params[f"BatchNorm_{layer}"] = {"scale": rng.uniform(-0.5, 1.5, width), "bias": rng.normal(0, 0.3, width)}
        statistics[f"BatchNorm_{layer}"] = {"mean": rng.normal(0, 0.3, width), "var": rng.uniform(0.1, 2, width)}

    channels = (network.patch**2, *network.features)
    for layer, features in enumerate(network.features):
        params[f"Conv_{layer}"] = {"kernel": weights(3, 3, channels[layer], features)}
        norm(layer, features)
    params["Dense_0"] = {"kernel": weights(network.flat, network.dense)}
    if network.dense_norm:
        norm(len(network.features), network.dense)
    else:
        params["Dense_0"]["bias"] = rng.normal(0, 0.3, network.dense)
    params["Dense_1"] = {"kernel": weights(network.dense, CLASSES), "bias": rng.normal(0, 0.3, CLASSES)}
    return {
        collection: {
            layer: {leaf: np.float32(array) for leaf, array in leaves.items()} for layer, leaves in all.items()
        }
        for collection, all in (("params", params), ("batch_stats", statistics))
    }


def contestant(**programs):
    """Runs that one of a contestant's programs that the command line names, with the arguments after its name:

    bulk(weights)                   a worker of `measuring.serve` that predicts `UNIT` images at a time
    convert(weights, model)         writes its own kind of model file
    files(model, folder, table)     predicts the images of a folder, file by file: lines `name,class` into the table
    """
    programs[sys.argv[1]](*sys.argv[2:])


def unit_of_images():
    """`UNIT` random images (n, 64, 64, 1) uint8."""
    return np.random.default_rng(1).integers(0, 256, (UNIT, IMAGE_SIDE, IMAGE_SIDE, 1), np.uint8)


def image_files(folder):
    """The images' paths in the order of their names."""
    return sorted(Path(folder).iterdir())


def write_table(table, files, logits):
    """Lines `name,class` for files and their logits (n, 9)."""
    lines = (f"{file.name},{label}\n" for file, label in zip(files, np.asarray(logits).argmax(1), strict=True))
    Path(table).write_text("".join(lines))
