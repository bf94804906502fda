"""Prediction in ONNX Runtime on the CPU, with all optimizations of the graph, its default; files by Pillow."""

import numpy as np
import onnxruntime
from PIL import Image
from same_weights import BATCH_SIZES, EPSILON, SameWeights, contestant, image_files, unit_of_images, write_table


def convert(weights, model):
    with open(model, "wb") as file:
        file.write(onnx_model(SameWeights(weights)))


def onnx_model(weights):
    """The network as bytes of an ONNX model, with the operators that an export from PyTorch has."""
    from networks import CLASSES, IMAGE_SIDE
    from onnx import TensorProto, checker, helper, numpy_helper

    network, nodes, constants = weights.network, [], []
    params, statistics = weights.channels_first().variables.values()

    def add(operator, *arrays, **attributes):
        source = nodes[-1].output[0] if nodes else "images"
        names = [f"{len(nodes)}.{index}" for index in range(len(arrays))]
        constants.extend(map(numpy_helper.from_array, map(np.ascontiguousarray, arrays), names))
        nodes.append(helper.make_node(operator, [source, *names], [f"output{len(nodes)}"], **attributes))

    def norm(layer):
        arrays = {**params[f"BatchNorm_{layer}"], **statistics[f"BatchNorm_{layer}"]}
        add("BatchNormalization", *(arrays[leaf] for leaf in ("scale", "bias", "mean", "var")), epsilon=EPSILON)

    def pool():
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])

    if network.patch > 1:
        add("SpaceToDepth", blocksize=network.patch)
    for layer in range(len(network.features)):
        kernel = params[f"Conv_{layer}"]["kernel"].transpose(3, 2, 0, 1)
        add("Conv", kernel, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        if network.pool_first and layer in network.pooled:
            pool()
        norm(layer)
        add("Relu")
        if not network.pool_first and layer in network.pooled:
            pool()
    add("Flatten")
    add("Gemm", *params["Dense_0"].values())
    if network.dense_norm:
        norm(len(network.features))
    add("Relu")
    add("Gemm", params["Dense_1"]["kernel"], params["Dense_1"]["bias"])
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, IMAGE_SIDE, IMAGE_SIDE])
    logits = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", CLASSES])
    graph = helper.make_graph(nodes, "network", [images], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


def bulk(weights):
    from measuring import fastest, serve
    from networks import as_float

    weights = SameWeights(weights)
    session = onnxruntime.InferenceSession(onnx_model(weights), providers=["CPUExecutionProvider"])

    def prepared(images):
        return np.ascontiguousarray(as_float(images).transpose(0, 3, 1, 2))

    weights.check(session.run(None, {"images": prepared(weights.images)})[0])
    images = prepared(unit_of_images())

    def by(batch_size):
        def run(count):
            for _ in range(count):
                for batch in np.split(images, len(images) // batch_size):
                    session.run(None, {"images": batch})

        return run

    name, run = fastest({f"batches of {size}": by(size) for size in BATCH_SIZES})
    serve(run, name)


def files(model, folder, table):
    session, found, logits = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]), [], []
    found = image_files(folder)
    for start in range(0, len(found), 64):
        images = []
        for file in found[start : start + 64]:
            with Image.open(file) as image:
                images.append(np.asarray(image.convert("L"), np.float32) / 127.5 - 1)
        logits += session.run(None, {"images": np.stack(images)[:, np.newaxis]})
    write_table(table, found, np.concatenate(logits))


if __name__ == "__main__":
    contestant(bulk=bulk, convert=convert, files=files)
