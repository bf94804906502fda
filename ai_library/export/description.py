"""What all exports share: the check that a classifier can be exported, and its description."""

from typing import Any

from ..errors import InputError
from ..files.sealed_file import SealedFileError, check_arrays
from ..networks.classifier import Classifier
from ..networks.initial import variable_shapes
from ..networks.model_file import FORMAT, check_description, is_content_size
from ..networks.network import check_network


def check_exportable(classifier: Classifier) -> None:
    """Raises `InputError` unless a classifier can be exported.

    Its variables must be finite, with the shapes and types of the network. The network must return one logit per class
    name. Class names, temperature and content size must be those that a model file can have.
    """
    check_network(classifier.model, classifier.image_shape, len(classifier.class_names))
    try:
        check_description(classifier.class_names, classifier.temperature)
        if not is_content_size(classifier.content_size, classifier.image_shape):
            raise SealedFileError(f"has a content size of {classifier.content_size}, which is out of range")
        check_arrays(FORMAT.storable(classifier.variables), variable_shapes(classifier.model, classifier.image_shape))
    except SealedFileError as error:
        raise InputError(f"the classifier cannot be exported: it {error}") from error


def described(classifier: Classifier) -> dict[str, Any]:
    """The description of a classifier for the users of an exported file, as JSON values.

    - "class_names": the names of the probabilities, in order.
    - "image_shape": (h, w, c) of the images, with c = 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGBA.
    - "content_size": how `fit_image` brings an image file to that shape; null: it is scaled and padded.
    - "temperature": the temperature of the probabilities, which is already applied.
    """
    return {
        "class_names": list(classifier.class_names),
        "image_shape": list(classifier.image_shape),
        "content_size": classifier.content_size,
        "temperature": float(classifier.temperature),
    }
