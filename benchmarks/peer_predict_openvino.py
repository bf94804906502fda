"""Prediction in OpenVINO on the CPU, in float32, from the model that ONNX Runtime gets.

By each of its hints: latency, one batch after another on both cores, and throughput, batches side by side from a queue.
"""

import numpy as np
import openvino
from peer_predict_onnx import onnx_model
from same_weights import BATCH_SIZES, SameWeights, contestant, unit_of_images


def bulk(weights):
    from measuring import fastest, serve
    from networks import as_float

    weights = SameWeights(weights)
    core = openvino.Core()
    read = core.read_model(onnx_model(weights))

    def prepared(images):
        return np.ascontiguousarray(as_float(images).transpose(0, 3, 1, 2))

    def compiled(hint, size):
        model = read.clone()
        model.reshape([size, *prepared(weights.images[:1]).shape[1:]])
        precision = {"INFERENCE_PRECISION_HINT": "f32"}  # else it takes bfloat16 where the processor has it
        return core.compile_model(model, "CPU", {"PERFORMANCE_HINT": hint, **precision})

    weights.check(compiled("LATENCY", len(weights.images))(prepared(weights.images))[0])
    images = prepared(unit_of_images())

    def by(hint, size):
        model, batches = compiled(hint, size), np.split(images, len(images) // size)
        logits = np.zeros((len(batches), *model.outputs[0].shape), np.float32)
        if hint == "LATENCY":

            def one_by_one(count):
                for _ in range(count):
                    for index, batch in enumerate(batches):
                        logits[index] = model(batch)[0]

            return one_by_one
        queue = openvino.AsyncInferQueue(model)

        def keep(request, index):
            logits[index] = request.get_output_tensor().data

        queue.set_callback(keep)

        def side_by_side(count):
            for _ in range(count):
                for index, batch in enumerate(batches):
                    queue.start_async([batch], userdata=index)
                queue.wait_all()

        return side_by_side

    hints = "LATENCY", "THROUGHPUT"
    ways = {f"{hint.lower()}, batches of {size}": by(hint, size) for hint in hints for size in BATCH_SIZES}
    name, run = fastest(ways)
    serve(run, name)


if __name__ == "__main__":
    contestant(bulk=bulk)
