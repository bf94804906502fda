"""Prediction by ONNX Runtime, which on a CPU starts sooner than JAX compiles."""

import math
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from .architecture import Architecture
from .graph import INPUT, Graph, add_cnn

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

_VALUES = 2**17
"""Most values of the images in one call, so that the activations of the largest layers take few megabytes."""
_ERRORS = 3
"""Lowest severity of what ONNX Runtime prints."""


def onnx_runtime_is_there() -> bool:
    """Whether ONNX Runtime is installed, and onnx, which makes its model."""
    return all(map(find_spec, ("onnx", "onnxruntime")))


class OnnxEngine:
    """Computes the logits of a `CNN`; they differ from those of JAX by rounding only.

    The session starts at the first call. Each call uses one core, and several threads may call at once. The
    logits of an image do not depend on the others.

    Args:
        architecture: The network.
        variables: As `Classifier` has them.
        image_shape: (h, w, c) of the images.
    """

    def __init__(self, architecture: Architecture, variables: Mapping[str, Any], image_shape: Sequence[int]):
        self._of = architecture, variables, tuple(image_shape)
        self._lock, self._session = threading.Lock(), None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._of  # a session can neither be copied nor sent

    def _started(self) -> "onnxruntime.InferenceSession":
        import onnxruntime

        architecture, variables, image_shape = self._of
        graph, (height, width, _) = Graph(), image_shape
        logits = add_cnn(graph, graph.normalised(INPUT), architecture, variables, (height, width))
        model = graph.as_onnx(image_shape, logits, architecture.num_classes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def __call__(self, images: np.ndarray) -> "NDArray[np.float32]":
        """The logits (n, num_classes) of images (n, h, w, c) uint8, for n from 1."""
        with self._lock:
            self._session = session = self._session or self._started()
        together = max(1, _VALUES // math.prod(images.shape[1:]))
        parts = [images[start : start + together] for start in range(0, len(images), together)]
        return np.concatenate([np.asarray(session.run(None, {INPUT: part})[0]) for part in parts])
