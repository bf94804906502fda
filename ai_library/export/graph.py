"""A classifier as a graph of ONNX operators, from uint8 pixels to probabilities."""

import numpy as np

from ..errors import InputError
from ..networks.classifier import Classifier
from ..networks.cnn import CNN
from ..networks.graph import INPUT, Graph, add_cnn, add_resnet
from ..networks.resnet import ResNet
from .description import check_exportable

OUTPUT = "probabilities"
_NETWORKS = {CNN: add_cnn, ResNet: add_resnet}


def graph_of(classifier: Classifier, exported: str) -> Graph:
    """The graph from images (n, h, w, c) uint8, `INPUT`, to probabilities (n, classes) float32, `OUTPUT`.

    Args:
        classifier: Its network is a `CNN` or a `ResNet`, not of a subclass, which may compute something else.
        exported: Name of the export in error messages.

    Raises:
        InputError: The network is another one, or does not match its variables or class names.
    """
    add = _NETWORKS.get(type(classifier.model))
    if add is None:
        raise InputError(
            f"{exported} is written for {' and '.join(kind.__name__ for kind in _NETWORKS)}, not for "
            f"{type(classifier.model).__name__}: use export_stablehlo"
        )
    check_exportable(classifier)
    graph = Graph()
    sides = classifier.image_shape[:2]
    logits = add(graph, graph.normalised(INPUT), classifier.model, classifier.variables, sides)
    cooled = graph.add("Div", logits, np.array(classifier.temperature, np.float32))
    graph.add("Softmax", cooled, output=OUTPUT, axis=1)
    return graph
