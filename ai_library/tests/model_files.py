"""Model files that were tampered with, and what may come of loading them."""

import contextlib
import hashlib
import json
import struct

import flax.serialization
import jax
import numpy as np

from ai_library import ModelFileError, load_model
from ai_library.networks.network import arguments


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
