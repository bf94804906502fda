"""Keras' MNIST convnet example (keras.io/examples/vision/mnist_convnet), written anew with its settings.

Adam, batches of 128, 15 epochs, a tenth of the training images held out. The test set is looked at after each epoch.
Prints `epoch accuracy seconds-since-start` for each epoch and stops at the target.
"""

import os

from example_data import over, peer_parser, read


def main():
    parser = peer_parser(__doc__)
    parser.add_argument("--backend", default="jax")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend

    import keras
    from keras import layers

    keras.utils.set_random_seed(arguments.seed)
    splits = read(arguments.data)
    classes = int(splits[0][1].max()) + 1
    (train_images, train_labels), (test_images, test_labels) = (
        (images.astype("float32")[..., None] / 255, keras.utils.to_categorical(labels, classes))
        for images, labels in splits
    )
    model = keras.Sequential([
        keras.Input(train_images.shape[1:]),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(classes, activation="softmax"),
    ])  # fmt: skip
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            accuracy = self.model.evaluate(test_images, test_labels, batch_size=1000, verbose=0)[1]
            self.model.stop_training = over(arguments, epoch + 1, accuracy)

    model.fit(
        train_images, train_labels, batch_size=128, epochs=15, validation_split=0.1, verbose=0, callbacks=[Stop()]
    )


if __name__ == "__main__":
    main()
