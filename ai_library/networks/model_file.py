"""One file that tells all about a trained model: `save_model` and `load_model`.

It is a sealed file (see `sealed_file.py`). Its header has class names, image shape, preprocessing, architecture,
temperature, metrics and versions of the packages; its arrays are the variables "params" and "batch_stats".
"""

import importlib.metadata

from ..errors import InputError, check_image_shape
from ..files.sealed_file import SealedFileError, SealedFormat, check_arrays
from ..files.text import is_printable
from .architecture import PREPROCESSING, Architecture
from .classifier import Classifier

FORMAT = SealedFormat(magic=b"AILMODEL", version=2, name="a model")  # version 1 had no temperature
_TRAIN = "train one: 'python scripts/train_shapes.py', 'python scripts/train_mnist.py'"


class ModelFileError(InputError):
    """A file is not a model that can be used; the message names the file, what is wrong, and the mend."""


def save_model(path, classifier: Classifier):
    """Writes a classifier to one file; an older file of the name stays whole until the new one is.

    The same classifier gives the same bytes: nothing of the time or the place is written. Raises `InputError` where it
    can't be written, or is none that `load_model` would take: it knows one network, `CNN`.
    """
    if (architecture := classifier.architecture) is None:
        raise InputError(
            f"{path} is not written: it would be read as a CNN, but the network is a {type(classifier.model).__name__}"
        )
    header = {
        "class_names": classifier.class_names,
        "image_shape": classifier.image_shape,
        "preprocessing": {**PREPROCESSING, "content_size": classifier.content_size},
        "architecture": vars(architecture),
        "temperature": float(classifier.temperature),
        "metrics": classifier.metrics,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
    FORMAT.write(path, header, classifier.variables, check=_classifier)


def load_model(path) -> Classifier:
    """Reads the classifier of a model file, after checking that the file is whole and fits its own description.

    Raises `ModelFileError` where it is missing, damaged, or not a model of a version that this code knows.
    """
    try:
        version, header, variables = FORMAT.read(path)
        if version == 1:
            header["temperature"] = 1.0
        return _classifier(header, variables)
    except SealedFileError as error:
        mend = f"{error.mend}, or {_TRAIN}" if error.mend else f"fetch it again, or {_TRAIN}"
        raise ModelFileError(f"{path} {error}: {mend}") from error


def _classifier(header, variables):
    try:
        class_names, image_shape = _field(header, "class_names", list), check_image_shape(header["image_shape"])
        preprocessing = dict(_field(header, "preprocessing", dict))
        content_size = preprocessing.pop("content_size", None)
        temperature, metrics = _field(header, "temperature", float), _field(header, "metrics", dict)
        architecture = Architecture(**_field(header, "architecture", dict))
        wanted = architecture.variable_shapes(image_shape)
    except (InputError, TypeError, KeyError) as error:
        raise SealedFileError(f"does not describe a model ({type(error).__name__}: {error})") from error
    if preprocessing != PREPROCESSING or not _fits(content_size, image_shape):
        raise SealedFileError("was trained with other preprocessing than this code has")
    if len(class_names) != architecture.num_classes:
        raise SealedFileError(f"names {len(class_names)} classes for {architecture.num_classes} outputs")
    if not all(isinstance(name, str) and is_printable(name) for name in class_names):
        raise SealedFileError("has class names that are no printable text")
    if len(set(class_names)) != len(class_names):
        raise SealedFileError("has class names that are not distinct")
    if not 0.01 <= temperature <= 100:
        raise SealedFileError(f"has a temperature of {temperature}, which no fit gives")
    check_arrays(variables, wanted)
    return Classifier(architecture, variables, tuple(class_names), image_shape, content_size, temperature, metrics)


def _field(header, name, kind):
    if not isinstance(header[name], kind):
        raise TypeError(f"{name} is no {kind.__name__}")
    return header[name]


def _fits(content_size, image_shape):
    return content_size is None or (type(content_size) is int and 1 <= content_size <= min(image_shape[:2]))
