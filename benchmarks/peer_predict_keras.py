"""Prediction in Keras 3 on JAX: `Model.predict`, and files by a `PyDataset` of `load_img`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
from same_weights import BATCH_SIZES, SameWeights, contestant, image_files, unit_of_images, write_table


def convert(weights, model):
    _build(SameWeights(weights)).save(model)


def _build(weights):
    from peer_step_keras import build

    model = build(weights.network)
    kinds = {keras.layers.Conv2D: "Conv", keras.layers.BatchNormalization: "BatchNorm", keras.layers.Dense: "Dense"}
    for layer, arrays in weights.of(model.layers, kinds):
        layer.set_weights([arrays[leaf] for leaf in ("scale", "kernel", "bias", "mean", "var") if leaf in arrays])
    return model


def bulk(weights):
    from measuring import fastest, serve
    from networks import as_float

    weights, images = SameWeights(weights), as_float(unit_of_images())
    model = _build(weights)
    weights.check(model.predict(as_float(weights.images), verbose=0))

    def by(batch_size):
        def predict(count):
            for _ in range(count):
                model.predict(images, batch_size=batch_size, verbose=0)

        return predict

    def on_batch(batch_size):
        def predict_on_batch(count):
            for _ in range(count):
                for batch in np.split(images, len(images) // batch_size):
                    model.predict_on_batch(batch)

        return predict_on_batch

    ways = {f"predict, batches of {size}": by(size) for size in BATCH_SIZES}
    name, run = fastest({**ways, **{f"predict_on_batch of {size}": on_batch(size) for size in BATCH_SIZES}})
    serve(run, name)


class _Files(keras.utils.PyDataset):
    BATCH_SIZE = 64

    def __init__(self, files):
        super().__init__()
        self.files = files

    def __len__(self):
        return -(-len(self.files) // self.BATCH_SIZE)

    def __getitem__(self, index):
        files = self.files[index * self.BATCH_SIZE : (index + 1) * self.BATCH_SIZE]
        images = [keras.utils.img_to_array(keras.utils.load_img(file, color_mode="grayscale")) for file in files]
        return (np.stack(images) / 127.5 - 1,)


def files(model, folder, table):
    found = image_files(folder)
    logits = keras.models.load_model(model, compile=False).predict(_Files(found), verbose=0)
    write_table(table, found, logits)


if __name__ == "__main__":
    contestant(bulk=bulk, convert=convert, files=files)
