"""A classifier as an ONNX file, which ONNX Runtime and many other programs run."""

import json
from pathlib import Path

import numpy as np

from ..errors import InputError, MissingExtraError
from ..files.atomic import write_bytes
from ..networks.classifier import Classifier
from ..networks.cnn import CNN
from ..networks.resnet import ResNet
from .description import check_exportable, described
from .graph import INPUT, OUTPUT, Graph, add_cnn, add_resnet

OPSET = 17
"""Of ONNX' operators; every runtime since 2022 has it."""
_NETWORKS = {CNN: add_cnn, ResNet: add_resnet}


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
    add = _NETWORKS.get(type(classifier.model))
    if add is None:
        raise InputError(
            f"ONNX is written for {' and '.join(kind.__name__ for kind in _NETWORKS)}, not for "
            f"{type(classifier.model).__name__}: use export_stablehlo"
        )
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "export") from error
    check_exportable(classifier)
    height, width, channels = classifier.image_shape
    graph = Graph()
    logits = add(graph, graph.normalised(INPUT), classifier.model, classifier.variables, (height, width))
    cooled = graph.add("Div", logits, np.array(classifier.temperature, np.float32))
    graph.add("Softmax", cooled, output=OUTPUT, axis=1)
    images = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, ["n", height, width, channels])
    classes = ["n", len(classifier.class_names)]
    found = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, classes)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "classifier", [images], [found], graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="ai_library",
    )
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in described(classifier).items()})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))
