"""Small models without training, model files that were tampered with, and what may come of loading them."""

import contextlib
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import flax.serialization
import jax
import numpy as np

from ai_library import Classifier, ModelFileError, load_model
from ai_library.networks.architecture import Architecture
from ai_library.networks.network import arguments

ROOT = Path(__file__).resolve().parents[2]
PEAKS = """
import os, sys
from ai_library import CNN
from ai_library.tests.model_files import try_to_load
def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
CNN(num_classes=3).variable_shapes((32, 32, 1))
for path in sys.argv[1:]:
    if os.fork() == 0:  # whose peak begins anew
        before = memory("VmRSS")
        try_to_load(path)
        print(memory("VmHWM") - before, flush=True)
        os._exit(0)
    os.wait()
"""


def small_classifier(class_names=("a", "b"), fill=0.0, **fields):
    """A `CNN` of one channel for 16x16x1 images, whose weights are all `fill`."""
    architecture = Architecture(num_classes=len(class_names), features=(1,) * 5, dense=1, patch=16)
    shapes = architecture.variable_shapes((16, 16, 1))
    variables = {
        kind: {
            layer: {name: np.full(leaf.shape, fill, leaf.dtype) for name, leaf in leaves.items()}
            for layer, leaves in layers.items()
        }
        for kind, layers in shapes.items()
    }
    return Classifier(architecture, variables, tuple(class_names), (16, 16, 1), **fields)


def sealed(body):
    """What precedes the digest, with a digest that fits."""
    return body + hashlib.sha256(body).digest()


def loads_as_it_says_or_is_refused(path, data):
    """Whether a file of these bytes loads. If so, it must be with the very weights and names that its bytes hold, as
    json and flax read them by themselves; no error but the one is let through."""
    path.write_bytes(data)
    try:
        classifier = load_model(path)
    except ModelFileError:
        return False
    length = struct.unpack_from("<8sII", data)[2]
    header = json.loads(data[16 : 16 + length])
    wanted = flax.serialization.msgpack_restore(data[16 + length : -32])
    assert jax.tree.structure(wanted) == jax.tree.structure(classifier.variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), wanted, classifier.variables))
    assert jax.tree.all(jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), wanted))
    assert list(classifier.class_names) == header["class_names"]
    assert classifier.metrics == header["metrics"]
    found, said = arguments(classifier.model), header["network"]["arguments"]
    assert {**found, **said} == found
    return True


def rewritten(path, target, change):
    """A copy of a model file whose header went through `change`, with a digest that fits."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<8sII", data)
    header = json.loads(data[16 : 16 + length])
    version = change(header) or version
    encoded = json.dumps(header).encode()
    target.write_bytes(sealed(struct.pack("<8sII", magic, version, len(encoded)) + encoded + data[16 + length : -32]))
    return target


def try_to_load(path):
    with contextlib.suppress(ModelFileError):
        load_model(path)


def peaks_of_loading(paths):
    """By how many bytes the memory of a process grows while it loads a file, for each file."""
    run = subprocess.run([sys.executable, "-c", PEAKS, *paths], cwd=ROOT, check=True, capture_output=True, text=True)
    peaks = [int(line) for line in run.stdout.split()]
    assert len(peaks) == len(paths)
    return peaks
