"""One file that tells all about a trained model: `save_model` and `load_model`.

8 bytes   magic, b"AILMODEL"
4 bytes   version of the format, little-endian
4 bytes   length of the header, little-endian
header    JSON: class names, image shape, preprocessing, architecture, metrics, versions of the packages
weights   the variables "params" and "batch_stats", by `flax.serialization`
32 bytes  SHA-256 of all before
"""

import hashlib
import importlib.metadata
import json
import struct
from pathlib import Path

import flax.serialization
import jax
import numpy as np

from .atomic import write_bytes
from .classifier import Classifier
from .cnn import CNN, PREPROCESSING
from .errors import InputError

MAGIC = b"AILMODEL"
VERSION = 1
MAX_HEADER = 1 << 24
MAX_FILE = 1 << 30
_TRAIN = "'python scripts/train_shapes.py', 'python scripts/train_mnist.py'"
_LEAD = struct.Struct("<8sII")
_DIGEST = hashlib.sha256().digest_size


class ModelFileError(InputError):
    """A file is not a model that can be used; the message names the file, what is wrong, and the mend."""


def save_model(path, classifier: Classifier):
    """Writes a classifier to one file; an older file of the name stays whole until the new one is.

    The same classifier gives the same bytes: nothing of the time or the place is written.
    """
    header = {
        "class_names": classifier.class_names,
        "image_shape": classifier.image_shape,
        "preprocessing": {**PREPROCESSING, "content_size": classifier.content_size},
        "architecture": classifier.model.architecture(),
        "metrics": classifier.metrics,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
    encoded = json.dumps(header).encode()
    if len(encoded) > MAX_HEADER:
        raise ModelFileError(f"{path} cannot hold a header of {len(encoded):,} bytes: keep fewer metrics")
    variables = flax.serialization.to_bytes(jax.tree.map(np.asarray, classifier.variables))
    body = _LEAD.pack(MAGIC, VERSION, len(encoded)) + encoded + variables
    write_bytes(path, body + hashlib.sha256(body).digest())


def load_model(path) -> Classifier:
    """Reads the classifier of a model file, after checking that the file is whole and fits its own description.

    Raises `ModelFileError` where it is missing, damaged, or not a model of a version that this code knows.
    """
    try:
        return _parse(_read(Path(path)))
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error.__cause__


def _read(path):
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror}; name another model, or train one: {_TRAIN}") from error
    if len(data) > MAX_FILE:
        raise ModelFileError(f"is larger than any model ({MAX_FILE:,} bytes): name another file")
    return data


def _parse(data):
    if data.startswith(b"version https://git-lfs"):
        raise ModelFileError(f"is a Git LFS pointer, not a model: run 'git lfs pull', or train one: {_TRAIN}")
    if len(data) < _LEAD.size + _DIGEST or not data.startswith(MAGIC):
        raise ModelFileError("is not a model file: name one that 'save_model' wrote")
    _, version, header_length = _LEAD.unpack_from(data)
    if version != VERSION:
        raise ModelFileError(f"has version {version} of the format, this code knows {VERSION}: update ai_library")
    if hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise ModelFileError("is damaged, its digest does not match: fetch or train it again")
    end = _LEAD.size + header_length
    if header_length > MAX_HEADER or end > len(data) - _DIGEST:
        raise ModelFileError("has a header of an impossible length: fetch or train it again")
    try:
        header = json.loads(data[_LEAD.size : end])
        model, metrics = CNN(**header["architecture"]), dict(header["metrics"])
        content_size = header["preprocessing"].pop("content_size", None)
        class_names, image_shape = tuple(header["class_names"]), tuple(header["image_shape"])
        wanted = model.variable_shapes(image_shape)
        variables = flax.serialization.msgpack_restore(data[end:-_DIGEST])
    except (InputError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(f"does not describe a model ({error}): fetch or train it again") from error
    if header["preprocessing"] != PREPROCESSING or not _fits(content_size, image_shape):
        raise ModelFileError("was trained with other preprocessing than this code has: train it again")
    if len(class_names) != model.num_classes:
        raise ModelFileError(f"names {len(class_names)} classes for {model.num_classes} outputs: train it again")
    if len(set(class_names)) != len(class_names) or not all(isinstance(name, str) for name in class_names):
        raise ModelFileError("has class names that are no texts or not distinct: train it again")
    _check_leaves(variables, wanted)
    return Classifier(model, variables, class_names, image_shape, content_size, metrics)


def _fits(content_size, image_shape):
    return content_size is None or (type(content_size) is int and 1 <= content_size <= min(image_shape[:2]))


def _check_leaves(found, wanted):
    """Raises unless both trees have the same paths, and at each a finite array of the same shape and type."""
    found, wanted = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (found, wanted)
    )
    for path in sorted(found.keys() ^ wanted.keys()):
        raise ModelFileError(f"{'lacks' if path in wanted else 'has no use for'} the weights {path}: train it again")
    for path, leaf in wanted.items():
        shape, dtype = np.shape(found[path]), getattr(found[path], "dtype", type(found[path]))
        if shape != leaf.shape or dtype != leaf.dtype:
            raise ModelFileError(
                f"has {path} as {dtype}{shape}, the network as {leaf.dtype}{leaf.shape}: train it again"
            )
        if not np.isfinite(found[path]).all():
            raise ModelFileError(f"has values in {path} that are not finite: train it again")
