"""This library on a GPU. Arguments: a case, batch size, precision, and a mode.

Training: "drawn" draws the images on the device, "arrays" has them in its memory, "host" gets batches from the host one
by one. Prediction: "predict" has the images in the host's memory, "resident" in the device's.
"""

import sys

import jax
import numpy as np
from gpu_networks import CASES, PREDICTED, RESIDENT, STEPS
from measuring import ROOT, serve

sys.path.insert(0, str(ROOT))

from ai_library import (
    NETWORKS,
    ArrayDataSource,
    Classifier,
    ShapeDataSource,
    TrainConfig,
    create_train_state,
    train_step,
)
from ai_library.networks.initial import initialise
from ai_library.networks.network import predict_logits
from ai_library.training.steps import train_steps


def main():
    case, batch_size, precision, what = CASES[sys.argv[1]], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    model = NETWORKS[case.network](**case.arguments)
    shape = (case.side, case.side, 1)
    if what in ("predict", "resident"):
        run = predicting(case, model, shape, what, batch_size)
    else:
        run = training(case, model, shape, what, batch_size, precision)
    count = sum(leaf.size for leaf in jax.tree.leaves(initialise(model, 0, shape)["params"]))
    serve(run, f"{count}")


def training(case, model, shape, what, batch_size, precision):
    state = create_train_state(model, shape, TrainConfig(precision=precision), steps=10_000_000)
    images, labels = case.images(RESIDENT)
    rng = np.random.default_rng(1)
    if what == "host":
        batches = [(images[:batch_size], labels[:batch_size]), (images[-batch_size:], labels[-batch_size:])]

        def take(state):
            for step in range(STEPS):
                state, metrics = train_step(state, *batches[step % 2])
            return state, metrics

    else:
        source = ShapeDataSource() if what == "drawn" else ArrayDataSource(train=(images, labels))
        examples = source.device_examples("train")

        def take(state):
            order = rng.integers(0, source.size("train"), (STEPS, batch_size), np.uint32)
            return train_steps(state, examples, order)

    def run(count):
        nonlocal state
        for _ in range(count):
            state, metrics = take(state)
        metrics["loss"].block_until_ready()

    return run


def predicting(case, model, shape, what, batch_size):
    images, _ = case.images(PREDICTED)
    variables = initialise(model, 0, shape)
    if what == "predict":
        names = tuple(map(str, range(case.classes)))
        classifier = Classifier(model, variables, names, shape)

        def run(count):
            for _ in range(count):
                sum(len(logits) for logits in classifier.predict_logits([images]))

        return run
    variables = jax.device_put(variables)
    parts = jax.device_put(np.split(images, PREDICTED // batch_size))

    def run(count):
        for _ in range(count):
            logits = [predict_logits(model, variables, part) for part in parts]
        jax.block_until_ready(logits)

    return run


if __name__ == "__main__":
    main()
