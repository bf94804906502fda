"""What a file of another format tells of a classifier beside its network."""

from typing import Any

from ..networks.classifier import Classifier


def described(classifier: Classifier) -> dict[str, Any]:
    """Of a classifier what its user needs to know, as JSON has it.

    "class_names" of the probabilities; "image_shape" (h, w, c) of the images; "content_size", which says how
    `fit_image` brings an image file to that shape (None: it is resized); "temperature", which the probabilities are
    calculated with already.
    """
    return {
        "class_names": list(classifier.class_names),
        "image_shape": list(classifier.image_shape),
        "content_size": classifier.content_size,
        "temperature": float(classifier.temperature),
    }
