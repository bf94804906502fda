"""A training step in Keras 3 on JAX: `compile` and the faster of `fit` and `train_on_batch`, data in memory."""

import functools
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
from keras import layers
from measuring import fastest, serve
from networks import CLASSES, IMAGE_SIDE, NETWORKS, Network, as_float, batches


def build(network: Network) -> keras.Model:
    inputs = x = keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1))
    cells, patch = IMAGE_SIDE // network.patch, network.patch
    if patch > 1:
        x = layers.Permute((1, 3, 2, 4))(layers.Reshape((cells, patch, cells, patch))(x))
        x = layers.Reshape((cells, cells, patch**2))(x)
    for layer, features in enumerate(network.features):
        x = layers.Conv2D(features, 3, padding="same", use_bias=False)(x)
        if network.pool_first and layer in network.pooled:
            x = layers.MaxPooling2D(2)(x)
        x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-5)(x))
        if not network.pool_first and layer in network.pooled:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(network.dense, use_bias=not network.dense_norm)(layers.Flatten()(x))
    if network.dense_norm:
        x = layers.BatchNormalization(epsilon=1e-5)(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.ReLU()(x)))


def main():
    network, batch_size = NETWORKS[sys.argv[1]], int(sys.argv[2])
    model = build(network)
    count = sum(variable.value.size for variable in model.trainable_variables)
    assert count == network.parameters, f"{count} parameters, not {network.parameters}"
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = [(as_float(images), labels) for images, labels in batches(batch_size)]
    images, labels = (np.concatenate(arrays) for arrays in zip(*data, strict=True))

    @functools.cache
    def examples(count):
        wanted = np.arange(count * batch_size) % len(labels)
        return images[wanted], labels[wanted]

    def fit(count):
        model.fit(*examples(count), batch_size, epochs=1, shuffle=False, verbose=0)

    def train_on_batch(count):
        for index in range(count):
            model.train_on_batch(*data[index % len(data)])

    name, run = fastest({"fit": fit, "train_on_batch": train_on_batch}, count=6)
    serve(run, name)


if __name__ == "__main__":
    main()
