"""What every exported file needs: a classifier that can be exported, and what its user must know of it."""

from typing import Any

from ..errors import InputError
from ..files.sealed_file import SealedFileError, check_arrays
from ..networks.classifier import Classifier
from ..networks.model_file import FORMAT
from ..networks.network import check_network, variable_shapes


def check_exportable(classifier: Classifier) -> None:
    """Raises `InputError` unless a classifier can be exported.

    Its variables must be finite and have the shapes and types of the network, and the network give one logit for each
    class name.
    """
    check_network(classifier.model, classifier.image_shape, len(classifier.class_names))
    try:
        check_arrays(FORMAT.storable(classifier.variables), variable_shapes(classifier.model, classifier.image_shape))
    except SealedFileError as error:
        raise InputError(f"the classifier cannot be exported: it {error}") from error


def described(classifier: Classifier) -> dict[str, Any]:
    """Of a classifier what its user needs to know, as JSON has it.

    "class_names" of the probabilities; "image_shape" (h, w, c) of the images, where c is 1 for grey, 2 for grey and
    opacity, 3 for RGB, 4 for RGB and opacity; "content_size", which says how `fit_image` brings an image file to that
    shape: null where it is scaled to fit and the rest is filled; "temperature", which the probabilities are calculated
    with already.
    """
    return {
        "class_names": list(classifier.class_names),
        "image_shape": list(classifier.image_shape),
        "content_size": classifier.content_size,
        "temperature": float(classifier.temperature),
    }
