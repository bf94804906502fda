"""A classifier as an ONNX file, which ONNX Runtime and many other programs run."""

import json
from pathlib import Path

from ..files.atomic import write_bytes
from ..networks.classifier import Classifier
from .description import described
from .graph import OUTPUT, graph_of


def export_onnx(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier as an ONNX file.

    Its input "images" is (n, h, w, c) uint8, for any n; its output "probabilities" (n, classes) float32, those of
    `predict_proba` within 1e-5 on a CPU. The metadata are those of `described`, each as JSON. The same classifier gives
    the same bytes with one version of onnx.

    Args:
        path: The file to write; an older one stays whole until this one is.
        classifier: Its network is a `CNN` or a `ResNet` itself: any other may compute anything, and is exported by
            `export_stablehlo`.

    Raises:
        InputError: The network is another one, or the file can't be written.
        MissingExtraError: onnx is not installed.
    """
    model = graph_of(classifier, "ONNX").as_onnx(classifier.image_shape, OUTPUT, len(classifier.class_names))
    import onnx  # which is there

    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in described(classifier).items()})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))
