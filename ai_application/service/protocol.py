"""The Open Inference Protocol (version 2) with its extensions for binary tensors and classification.

See https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol for the protocol, and Triton's
documentation for the extensions.
"""

import itertools
import json
import math
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ai_library import Classifier

from .limits import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES, PROBABILITIES, LABELS = "images", "probabilities", "labels"
HEADER_LENGTH = "inference-header-content-length"
VERSION = "1"
"""The version of every model: each file is one version."""
_DATATYPES = {PROBABILITIES: "FP32", LABELS: "INT64"}


def metadata(name: str, classifier: Classifier) -> dict[str, Any]:
    """The protocol's metadata of a model. Its parameters hold class names, content size and threshold."""
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "ai_library",
        "inputs": [{"name": IMAGES, "datatype": "UINT8", "shape": [-1, *classifier.image_shape]}],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(classifier.class_names)]},
            {"name": LABELS, "datatype": "INT64", "shape": [-1]},
        ],
        "parameters": {
            "class_names": list(classifier.class_names),
            "content_size": classifier.content_size,
            "abstain_below": classifier.abstain_below,
        },
    }


class _Wanted(NamedTuple):
    """An output that a request asks for."""

    name: str
    binary: bool
    classes: int
    """Number of most probable classes to return instead of all probabilities; 0: all probabilities."""


class InferRequest(NamedTuple):
    """A request that has been checked."""

    images: "NDArray[np.uint8]"
    """(n, h, w, c)."""
    id: str | None
    wanted: list[_Wanted]


def parse(body: bytes, header_length: str | None, classifier: Classifier) -> InferRequest:
    """Parses a body: JSON, followed by the tensor's binary data. Raises `RefusedError` if it is invalid."""
    length = len(body) if header_length is None else _whole(header_length, "Inference-Header-Content-Length")
    if length > len(body):
        raise RefusedError(400, f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes")
    try:
        request = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body must begin with JSON, as the Open Inference Protocol has it") from None
    request = _checked(request, dict, "the request")
    identity = request.get("id")
    if identity is not None:
        _checked(identity, str, "id")
    inputs = _checked(request.get("inputs"), list, "inputs")
    if len(inputs) != 1:
        raise RefusedError(400, f"inputs must be one tensor, {IMAGES!r}, got {len(inputs)}")
    images = _images(_checked(inputs[0], dict, "inputs[0]"), body[length:], classifier)
    return InferRequest(images, identity, _wanted(request, len(classifier.class_names)))


def respond(name: str, request: InferRequest, probabilities: np.ndarray, classifier: Classifier):
    """Returns the response as (body, headers)."""
    outputs, binary = [], []
    for wanted in request.wanted:
        datatype, found = _DATATYPES[wanted.name], probabilities.astype("<f4")
        if wanted.classes:
            datatype, found = "BYTES", _classified(probabilities, wanted.classes, classifier.class_names)
        elif wanted.name == LABELS:
            found = probabilities.argmax(axis=1).astype("<i8")
        output = {"name": wanted.name, "datatype": datatype, "shape": list(np.shape(found))}
        if wanted.binary:
            content = _packed(found) if wanted.classes else found.tobytes()
            binary.append(content)
            output["parameters"] = {"binary_data_size": len(content)}
        else:
            output["data"] = np.ravel(found).tolist()
        outputs.append(output)
    answer = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    head = json.dumps(answer).encode()
    if not binary:
        return head, {"content-type": "application/json"}
    return b"".join([head, *binary]), {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(head))}


def _images(tensor, binary, classifier):
    """The images (n, h, w, c) uint8 of the input tensor."""
    if tensor.get("name") != IMAGES:
        raise RefusedError(400, f"the input must be {IMAGES!r}, got {str(tensor.get('name'))[:40]!r}")
    if tensor.get("datatype") != "UINT8":
        raise RefusedError(400, f"{IMAGES} must have the datatype UINT8, got {str(tensor.get('datatype'))[:40]!r}")
    shape, wanted = _checked(tensor.get("shape"), list, f"the shape of {IMAGES}"), list(classifier.image_shape)
    if not all(type(side) is int for side in shape) or shape[1:] != wanted or not 1 <= shape[0] < 2**31:
        sides = ", ".join(map(str, wanted))
        raise RefusedError(400, f"{IMAGES} must have the shape [n, {sides}] with n from 1, got {_cut(shape)}")
    size = math.prod(shape)
    given = _checked(_parameters(tensor), dict, f"the parameters of {IMAGES}").get("binary_data_size")
    if given is not None:
        if type(given) is not int or not given == size == len(binary):
            raise RefusedError(
                400,
                f"{IMAGES} of the shape {_cut(shape)} are {size} bytes: binary_data_size is {_cut(given)}, and "
                f"{len(binary)} bytes come after the JSON",
            )
        return np.frombuffer(binary, np.uint8).reshape(shape)
    if binary:
        raise RefusedError(400, f"{len(binary)} bytes come after the JSON, of which no binary_data_size speaks")
    numbers = _flat(_checked(tensor.get("data"), list, f"the data of {IMAGES}"), shape)
    if numbers is None or len(numbers) != size or set(map(type, numbers)) != {int}:
        raise RefusedError(400, f"the data of {IMAGES} must be {size} whole numbers, flat or nested by the shape")
    try:
        return np.frombuffer(bytes(numbers), np.uint8).reshape(shape)
    except ValueError:
        raise RefusedError(400, f"the data of {IMAGES} must be from 0 to 255") from None


def _flat(data, shape):
    """The numbers of a JSON array that is flat or nested by the shape; None if it is nested otherwise.

    Not by numpy: in an array of strings, it would give each one the size of the longest.
    """
    if not data or type(data[0]) is not list:
        return data
    if len(data) != shape[0]:
        return None
    for side in shape[1:]:
        if any(type(part) is not list or len(part) != side for part in data):
            return None
        data = list(itertools.chain.from_iterable(data))
    return data


def _wanted(request, classes):
    """The outputs that a request asks for; all of them if it names none."""
    parameters = _checked(_parameters(request), dict, "parameters")
    all_binary = parameters.get("binary_data_output", False) is True
    asked = request.get("outputs")
    if not asked:
        return [_Wanted(name, all_binary, 0) for name in _DATATYPES]
    found = []
    for output in _checked(asked, list, "outputs"):
        name = _checked(output, dict, "an output").get("name")
        if not isinstance(name, str) or name not in _DATATYPES or name in [each.name for each in found]:
            raise RefusedError(400, f"outputs must name each of {', '.join(_DATATYPES)} at most once, got {_cut(name)}")
        own = _checked(_parameters(output), dict, "the parameters of an output")
        count = own.get("classification", 0)
        if type(count) is not int or count < 0 or (count and name != PROBABILITIES):
            raise RefusedError(400, f"classification must be a count of {PROBABILITIES}, got {_cut(count)} of {name}")
        found.append(_Wanted(name, own.get("binary_data", all_binary) is True, min(count, classes)))
    return found


def _classified(probabilities, count, class_names):
    """The most probable classes (n, count), each as "probability:label:name"."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return np.array(
        [
            [f"{row[label]:.6f}:{label}:{class_names[label]}" for label in labels]
            for row, labels in zip(probabilities, best, strict=True)
        ],
        object,
    )


def _packed(texts):
    """Strings in the protocol's format of BYTES: each with its length before it."""
    encoded = [str(text).encode() for text in np.ravel(texts)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def _parameters(fields):
    """The parameters of a part of a request. Some clients write null if there are none."""
    return {} if fields.get("parameters") is None else fields["parameters"]


def _whole(text, name):
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise RefusedError(400, f"{name} must be a whole number, got {text[:40]!r}")
    return int(text)


def _checked(value, kind, name):
    if not isinstance(value, kind):
        names: Mapping[type, str] = {dict: "an object", list: "an array", str: "a string"}
        raise RefusedError(400, f"{name} must be {names[kind]}, got {_cut(value)}")
    return value


def _cut(value):
    """A value from a request, shortened for an error message."""
    return reprlib.repr(value)
