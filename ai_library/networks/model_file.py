"""One file with everything that a trained model needs: `save_model` and `load_model`.

It is a sealed file (see `sealed_file.py`). Its header has class names, image shape, preprocessing, temperature,
metrics, versions of the packages, and the network's name and arguments, with a digest of what it computes if its class
is not the library's; its arrays are the variables: "params" and the collections of the network's state. Files of
version 2 are read: they have an "architecture", that of a `CNN`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.class_names import check_class_names
from ..errors import InputError, check_image_shape
from ..files.sealed_file import SealedFileError, SealedFormat, check_arrays
from ..files.text import escaped, shortened
from .architecture import PREPROCESSING, Architecture
from .classifier import Classifier

if TYPE_CHECKING:
    import flax.linen as nn

FORMAT = SealedFormat(magic=b"AILMODEL", version=3, name="a model")  # version 1 had no temperature


class ModelFileError(InputError):
    """A file is not a model that can be used. The message names the file, what is wrong, and what to do.

    >>> load_model("missing.msgpack")
    Traceback (most recent call last):
        ...
    ai_library.networks.model_file.ModelFileError: missing.msgpack cannot be read: ...
    """


def save_model(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier to one file. An existing file is replaced only when the new one is complete.

    The same classifier gives the same bytes: the file holds no time and no path.

    >>> save_model("shapes.msgpack", classifier)
    >>> load_model("shapes.msgpack", networks=[Linear])
    Classifier: Linear for 16x16x1 images of 2 classes (circle, star)

    Args:
        path: The file to write.
        classifier: Its network is one of `NETWORKS`, or of a class of your own, which `load_model` then needs in
            `networks`.

    Raises:
        InputError: The file cannot be written, or it could not be read again as the same network.
    """
    import importlib.metadata  # its import takes a tenth of the time of predicting one image

    header = {
        "class_names": classifier.class_names,
        "image_shape": classifier.image_shape,
        "preprocessing": {**PREPROCESSING, "content_size": classifier.content_size},
        "network": _described(classifier),
        "temperature": float(classifier.temperature),
        "metrics": classifier.metrics,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
    own = {} if classifier.architecture else _by_name([type(classifier.model)])
    FORMAT.write(path, header, classifier.variables, check=lambda *read: _classifier(*read, networks=own))


def check_storable(network: "nn.Module") -> None:
    """Raises `InputError` if `save_model` refuses this network, because of its class's name or of an argument."""
    from .network import arguments

    _by_name([type(network)])
    arguments(network)


def load_model(path: str | Path, networks: Sequence[type["nn.Module"]] = ()) -> Classifier:
    """Reads the classifier of a model file. The digest, the header and the arrays are checked before they are used.

    >>> save_model("shapes.msgpack", classifier)
    >>> loaded = load_model("shapes.msgpack", networks=[Linear])
    >>> loaded.image_shape, loaded.class_names
    ((16, 16, 1), ('circle', 'star'))

    Args:
        path: The file to read.
        networks: Your own network classes that the file may hold; they are found by name. Those in `NETWORKS` are
            known without it.

    Returns:
        The `Classifier`. A warning is given where the code of your network computes something else than when the model
        was saved. It can be told with the same versions of this library, JAX and Flax.

    Raises:
        ModelFileError: The file is missing or damaged, is not a model, has a format version that this code does not
            know, or holds a network of an unknown class.
    """
    own = _by_name(networks)
    try:
        version, header, variables = FORMAT.read(path)
        if version == 1:
            header["temperature"] = 1.0
        if version < 3:
            header["network"] = {"name": "CNN", "arguments": header.pop("architecture", None)}
        classifier = replace(_classifier(header, variables, own), origin=escaped(str(path)))
    except SealedFileError as error:
        raise ModelFileError(f"{path} {error}: {error.mend or 'fetch it again, or train one'}") from error
    if _has_other_code(header["network"], classifier):
        warnings.warn(
            f"{path} was saved when the code of {type(classifier.model).__name__} computed something else: its metrics "
            "were measured with that code, and predictions may now be wrong",
            stacklevel=2,
        )
    return classifier


def _has_other_code(described, classifier):
    """Whether a network of the user's own computes something else than when it was saved, as far as can be told."""
    saved, now = described.get("computes"), None
    if isinstance(saved, dict) and not classifier.architecture:
        now = _described(classifier).get("computes")
    # Other versions may write the same in another way.
    return now is not None and saved != now and {**saved, "digest": ""} == {**now, "digest": ""}


def _described(classifier):
    """The name and the arguments of a classifier's network."""
    if classifier.architecture:
        return {"name": "CNN", "arguments": vars(classifier.architecture)}
    from ..runtime.agreement import code_version
    from .network import arguments, network_of, prediction_digest
    from .registry import NETWORKS

    kind = type(classifier.model)
    described = {"name": kind.__name__, "arguments": arguments(classifier.model)}
    if kind.__name__ not in NETWORKS:  # the library's own may be written anew, and are tested to compute the same
        versions = {name: code_version()[name] for name in ("ai_library", "jax", "jaxlib", "flax")}
        as_read = network_of(kind, described["arguments"])
        described["computes"] = {"digest": prediction_digest(as_read, classifier.image_shape), **versions}
    return described


def _by_name(networks):
    """Network classes by name. Raises `InputError` where two classes have one name."""
    found = {}
    for kind in networks:
        from .registry import NETWORKS

        if {**NETWORKS, **found}.get(kind.__name__, kind) is not kind:
            raise InputError(
                f"a network's class must have a name of its own, but {kind.__module__}.{kind.__name__} shares it with "
                "another: rename it"
            )
        found[kind.__name__] = kind
    return found


def _classifier(header, variables, networks):
    try:
        class_names = _field(header, "class_names", list)
        image_shape = check_image_shape(header["image_shape"])
        preprocessing = dict(_field(header, "preprocessing", dict))
        content_size = preprocessing.pop("content_size", None)
        temperature, metrics = _field(header, "temperature", float), _field(header, "metrics", dict)
        network, wanted, outputs = _network(_field(header, "network", dict), image_shape, len(class_names), networks)
    except SealedFileError:
        raise
    except (InputError, TypeError, KeyError) as error:
        raise SealedFileError(f"does not describe a model ({type(error).__name__}: {error})") from error
    if preprocessing != PREPROCESSING or not is_content_size(content_size, image_shape):
        raise SealedFileError("was trained with other preprocessing than this code has")
    if len(class_names) != outputs:
        raise SealedFileError(f"names {len(class_names)} classes for {outputs} outputs")
    check_description(class_names, temperature)
    check_arrays(variables, wanted)
    return Classifier(network, variables, class_names, image_shape, content_size, temperature, metrics)


def check_description(class_names: Sequence[str], temperature: float) -> None:
    """Raises `SealedFileError` for class names or a temperature that no classifier can have."""
    if not 0.01 <= temperature <= 100:
        raise SealedFileError(f"has a temperature of {temperature}, which is out of range")
    try:
        check_class_names(class_names)
    except InputError as error:
        raise SealedFileError(f"has class names that cannot be used ({error})") from error


def _network(described, image_shape, classes, networks):
    """The network that a header describes, the shapes of its variables, and how many logits it gives."""
    name, stored = _field(described, "name", str), _field(described, "arguments", dict)
    if name == "CNN":  # as most are: without importing Flax
        architecture = Architecture(**stored)
        return architecture, architecture.variable_shapes(image_shape), architecture.num_classes
    from .initial import variable_shapes
    from .network import check_network, network_of
    from .registry import NETWORKS

    known = {**NETWORKS, **networks}
    if name not in known:
        shown = shortened(name)
        raise SealedFileError(
            f"holds the network {shown!r}, which is none of {', '.join(known)}",
            f"pass its class, as in load_model(path, networks=[{shown if shown.isidentifier() else 'Mine'}])",
        )
    model = network_of(known[name], stored)
    check_network(model, image_shape, classes)
    return model, variable_shapes(model, image_shape), classes


def _field(header, name, kind):
    if not isinstance(header[name], kind):
        raise TypeError(f"{name} is no {kind.__name__}")
    return header[name]


def is_content_size(content_size: int | None, image_shape: Sequence[int]) -> bool:
    """Whether content of this size fits into images (h, w, c); None fits into any."""
    return content_size is None or (type(content_size) is int and 1 <= content_size <= min(image_shape[:2]))
