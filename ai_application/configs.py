"""The recipes: the default network and configuration of each training command.

That of the shapes is the fastest of those tried that give 99.5 % (`benchmarks/notes.md`, "The first command").

MNIST has two: `accurate`, the default, and `fast`. Measured over 5 seeds, `accurate` gives 99.68 % ± 0.05 %
(`benchmarks/results/mnist_accuracy.txt`). On a fold of the training images, 6 epochs with Muon were no worse than
12 with Adam or Muon. Another part was measured alone, with Adam, in two runs of 8 epochs with seed 1: reducing the
augmentation to a quarter towards the end (`final_augmentation`) lowered the test errors from 35 to 32, and the log loss
at the best temperature from 0.0139 to 0.0125. Augmentation, label smoothing and the running mean of the weights were
introduced together. Each was left out alone in one and in two epochs of a smaller network, over 5 seeds: no difference
was found (`docs/laboratory_results.md`). What each brings in the preset was not measured.
"""

from ai_library import CNN, SHAPES, Augmentation, TrainConfig

SHORT_RUN = {"beta": 0.6, "ns_steps": 3}
"""Muon's arguments for runs of one or two epochs: both are less than usual."""

SHAPE_RECIPE = (
    CNN(num_classes=len(SHAPES), features=(16, 32, 64, 64, 64)),
    TrainConfig(
        epochs=2,
        learning_rate=12e-3,
        warmup=0.1,
        optimizer="muon",
        optimizer_arguments=SHORT_RUN,
        augmentation=Augmentation(flip=0.5),  # a mirrored shape is the same shape
    ),
)

MNIST_RECIPES = {
    "accurate": (
        CNN(num_classes=10, patch=2),
        TrainConfig(
            epochs=6,
            batch_size=128,
            learning_rate=4e-3,
            optimizer="muon",
            optimizer_arguments={"ns_steps": 3},
            label_smoothing=0.1,
            ema_decay=0.999,
            augmentation=Augmentation(shift=3, rotation=15, scale=0.12, shear=12, elastic=1),
            final_augmentation=0.25,
        ),
    ),
    "fast": (
        CNN(num_classes=10, features=(16, 16, 32, 48, 64), dense=64, patch=2),
        TrainConfig(
            epochs=1,
            batch_size=128,
            learning_rate=12e-3,
            warmup=0.1,
            optimizer="muon",
            optimizer_arguments=SHORT_RUN,
        ),
    ),
}

FOLDER_STEPS = 1_000
"""Least number of training steps on a folder. A small folder is therefore trained for more than 10 epochs."""
FOLDER_PATIENCE = 10, 200
"""Training ends after so many epochs without improvement on validation, or so many steps if these take longer."""
FOLDER_RECIPE = (
    CNN(num_classes=2),  # replaced by the folder's number of classes
    TrainConfig(
        epochs=10,
        batch_size=32,
        label_smoothing=0.1,
        augmentation=Augmentation(  # no flips: a mirrored digit, letter or arrow may be another class
            **{"shift": 3, "rotation": 10, "scale": 0.1, "shear": 5},
            **{"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "erase": 0.25, "erase_side": 0.25},
        ),
    ),
)
