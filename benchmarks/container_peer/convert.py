"""Writes a model file's network and weights as a Keras model: `python convert.py shapes.msgpack model.keras`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np
from keras import layers

from ai_library import load_model


def main(source, target):
    classifier = load_model(source)
    model, (height, width, channels) = classifier.model, classifier.image_shape
    rows, columns, patch = height // model.patch, width // model.patch, model.patch
    stack = [
        keras.Input((height, width, channels)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Reshape((rows, patch, columns, patch * channels)),
        layers.Permute((1, 3, 2, 4)),
        layers.Reshape((rows, columns, patch * patch * channels)),
    ]
    for layer, features in enumerate(model.features):
        stack.append(layers.Conv2D(features, 3, padding="same", use_bias=False))
        if layer in (1, 3):
            stack.append(layers.MaxPooling2D())
        stack += [layers.BatchNormalization(epsilon=1e-5), layers.ReLU()]
    stack += [layers.Flatten(), layers.Dense(model.dense, use_bias=False)]
    stack += [layers.BatchNormalization(epsilon=1e-5), layers.ReLU(), layers.Dense(model.num_classes)]
    network = keras.Sequential(stack)
    order = {layers.Conv2D: "Conv", layers.Dense: "Dense", layers.BatchNormalization: "BatchNorm"}
    count = dict.fromkeys(order.values(), 0)
    for layer in network.layers:
        if kind := order.get(type(layer)):
            name = f"{kind}_{count[kind]}"
            count[kind] += 1
            values = {**classifier.variables["params"][name], **classifier.variables["batch_stats"].get(name, {})}
            layer.set_weights([values[key] for key in ("scale", "kernel", "bias", "mean", "var") if key in values])
    images = np.random.default_rng(0).integers(0, 256, (64, height, width, channels), np.uint8)
    ours = next(classifier.predict_logits([images]))
    np.testing.assert_allclose(network.predict(images.astype(np.float32), verbose=0), ours, atol=1e-3)
    network.save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
