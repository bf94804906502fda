"""The library's own networks as graphs of ONNX operators, for ONNX files, pages and ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import MissingExtraError
from .architecture import EPSILON, POOLED, PREPROCESSING, Architecture

if TYPE_CHECKING:
    import onnx

    from .cnn import CNN
    from .resnet import ResNet

OPSET = 17
"""Version of ONNX's operator set; every runtime since 2022 supports it."""
INPUT = "images"
_FLOAT, _BYTE = 1, 2
"""ONNX's type numbers of float32 and uint8."""


class Node(NamedTuple):
    """An ONNX operator; its inputs are names of constants and of other nodes' outputs."""

    operator: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class Graph:
    """A graph under construction: each method adds nodes and returns the name of their output.

    Between the first and the last node, images are (n, c, h, w) float32, as ONNX operators take them.
    """

    def __init__(self):
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, operator: str, *inputs: str | np.ndarray, output: str | None = None, **attributes: Any) -> str:
        """Adds a node. Its inputs are names of outputs, or constants."""
        names = [each if isinstance(each, str) else self._stored(each) for each in inputs]
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(Node(operator, names, output, attributes))
        return output

    def _stored(self, array):
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def normalised(self, images: str) -> str:
        """Adds `normalise` of pixels (n, h, w, c) uint8."""
        # If the one value has another rank than the images, ONNX Runtime 1.32 takes 50 times as long.
        scale, offset = (np.full((1, 1, 1, 1), PREPROCESSING[name], np.float32) for name in ("scale", "offset"))
        x = self.add("Add", self.add("Mul", self.add("Cast", images, to=_FLOAT), scale), offset)
        return self.add("Transpose", x, perm=[0, 3, 1, 2])

    def patches(self, x: str, sides: tuple[int, int], patch: int) -> tuple[str, tuple[int, int]]:
        """Adds `space_to_depth` of images with these sides; also returns the new sides."""
        rows, columns = (-(-side // patch) for side in sides)
        missing = [rows * patch - sides[0], columns * patch - sides[1]]
        if any(missing):
            x = self.add("Pad", x, np.array([0, 0, 0, 0, 0, 0, *missing], np.int64))
        return (self.add("SpaceToDepth", x, blocksize=patch) if patch > 1 else x), (rows, columns)

    def conv(self, x: str, kernel: np.ndarray) -> str:
        """Adds a convolution with a kernel (3, 3, i, o), or with a 1x1 kernel (i, o)."""
        side = 3 if kernel.ndim == 4 else 1
        weights = kernel.reshape(side, side, *kernel.shape[-2:]).transpose(3, 2, 0, 1)
        return self.add("Conv", x, weights, kernel_shape=[side, side], pads=[side // 2] * 4)

    def pooled(self, x: str, sides: tuple[int, int]) -> tuple[str, tuple[int, int]]:
        """Adds `max_pool` if there is more than one row and column; also returns the new sides."""
        if min(sides) == 1:
            return x, sides
        x = self.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        return x, (-(-sides[0] // 2), -(-sides[1] // 2))

    def norm_relu(self, x: str, params: Mapping[str, Any], stats: Mapping[str, Any]) -> str:
        """Adds `BatchNormReLU` with the running statistics."""
        arrays = params["scale"], params["bias"], stats["mean"], stats["var"]
        return self.add("Relu", self.add("BatchNormalization", x, *map(np.asarray, arrays), epsilon=EPSILON))

    def as_onnx(self, image_shape: Sequence[int], output: str, numbers: int) -> "onnx.ModelProto":
        """The graph as an ONNX model: its input `INPUT` is images (n, h, w, c) uint8, its output (n, numbers) float32.

        Raises `MissingExtraError` if onnx is not installed.
        """
        try:
            import onnx
        except ModuleNotFoundError as error:
            raise MissingExtraError(error, "export") from error
        nodes = [onnx.helper.make_node(kind, given, [out], name=out, **more) for kind, given, out, more in self.nodes]
        constants = [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        images = onnx.helper.make_tensor_value_info(INPUT, _BYTE, ["n", *image_shape])
        found = onnx.helper.make_tensor_value_info(output, _FLOAT, ["n", numbers])
        return onnx.helper.make_model(
            onnx.helper.make_graph(nodes, "classifier", [images], [found], constants),
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=8,
            producer_name="ai_library",
        )


def add_cnn(
    graph: Graph, x: str, model: "CNN | Architecture", variables: Mapping[str, Any], sides: tuple[int, int]
) -> str:
    """Adds a `CNN` of normalised images with these sides; returns the name of the logits."""
    params, stats = variables["params"], variables["batch_stats"]
    x, sides = graph.patches(x, sides, model.patch)
    for layer in range(len(model.features)):
        x = graph.conv(x, np.asarray(params[f"Conv_{layer}"]["kernel"]))
        if layer in POOLED:
            x, sides = graph.pooled(x, sides)
        x = graph.norm_relu(x, params[f"BatchNorm_{layer}"], stats[f"BatchNorm_{layer}"])
    last = f"BatchNorm_{len(model.features)}"
    # The network's cells are in the order (h, w, c), the graph's in (c, h, w).
    kernel = np.asarray(params["Dense_0"]["kernel"])
    kernel = kernel.reshape(*sides, -1, model.dense).transpose(2, 0, 1, 3).reshape(-1, model.dense)
    x = graph.norm_relu(graph.add("MatMul", graph.add("Flatten", x), kernel), params[last], stats[last])
    return graph.add("Gemm", x, *_dense(params["Dense_1"]))


def add_resnet(graph: Graph, x: str, model: "ResNet", variables: Mapping[str, Any], sides: tuple[int, int]) -> str:
    """The same for a `ResNet`. Flax numbers the layers of each kind in the order of their calls."""
    params, stats = variables["params"], variables["batch_stats"]
    convolutions = (np.asarray(params[f"Conv_{number}"]["kernel"]) for number in range(len(params)))
    norms = (f"BatchNormReLU_{number}" for number in range(len(params)))

    def norm_relu(x):
        name = next(norms)
        return graph.norm_relu(x, params[name], stats[name])

    x, sides = graph.patches(x, sides, model.patch)
    x = graph.conv(x, next(convolutions))
    for stage in range(len(model.features)):
        if stage:
            x, sides = graph.pooled(x, sides)
            x = graph.conv(x, np.asarray(params[f"Dense_{stage - 1}"]["kernel"]))
        for _ in range(model.blocks):
            y = graph.conv(norm_relu(x), next(convolutions))
            x = graph.add("Add", x, graph.conv(norm_relu(y), next(convolutions)))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", norm_relu(x)))
    return graph.add("Gemm", x, *_dense(params[f"Dense_{len(model.features) - 1}"]))


def _dense(params):
    return np.asarray(params["kernel"]), np.asarray(params["bias"])
