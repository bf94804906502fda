"""Exports a classifier as an ONNX file, for ONNX Runtime and other programs."""

import json
from pathlib import Path

from ..files.atomic import write_bytes
from ..networks.classifier import Classifier
from .description import described
from .graph import OUTPUT, graph_of


def export_onnx(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier as an ONNX file.

    The input "images" is (n, h, w, c) uint8, for any n. The output "probabilities" is (n, classes) float32: that of
    `predict_proba` within 1e-5 on a CPU. The metadata hold the fields of `described`, each as JSON. The same classifier
    gives the same bytes with the same version of onnx.

    >>> cnn = CNN(num_classes=2, features=(4, 4, 4, 4, 4), dense=4)
    >>> variables = cnn.initialise(seed=0, image_shape=(16, 16, 1))  # a trained one in practice
    >>> export_onnx("shapes.onnx", Classifier(cnn, variables, ("circle", "star"), (16, 16, 1)))

    Args:
        path: The file to write. An existing file is replaced only when the new one is complete.
        classifier: Its network is a `CNN` or a `ResNet`, not of a subclass. `export_stablehlo` exports any other.

    Raises:
        InputError: The network is another one, or the file cannot be written.
        MissingExtraError: onnx is not installed.
    """
    model = graph_of(classifier, "ONNX").as_onnx(classifier.image_shape, OUTPUT, len(classifier.class_names))
    import onnx  # which is there

    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in described(classifier).items()})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))
