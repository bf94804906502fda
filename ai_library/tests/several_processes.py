"""What `test_distributed.py` runs in each of several processes: tasks, in a folder that they share."""

import argparse
import json
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from ai_library import (
    CNN,
    Augmentation,
    Classifier,
    InputError,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    TrainingStopped,
    evaluate,
)
from ai_library.data.folders.samples import read_samples
from ai_library.files import sealed_file
from ai_library.reporting.predictions import predict_samples
from ai_library.runtime import distributed
from ai_library.runtime.cpu import share_out_cores
from ai_library.runtime.jax_settings import HELD
from ai_library.tests.own_networks import Linear, Shallow, drawn
from ai_library.training import run_directory, step, trainer

STEPS, BATCH = 8, 12  # which 2 and 3 processes divide
CONFIG = TrainConfig(
    batch_size=BATCH,
    augmentation=Augmentation(flip=0.5, erase=0.5),  # two kinds that are soon compiled; all draw by an image's own key
    ema_decay=0.9,
    label_smoothing=0.1,
    final_augmentation=0.2,
)
CHILD = "ai_library.tests.several_processes"
SHALLOW = Shallow(num_classes=3)
PREDICTING = CNN(num_classes=3, features=(4, 4, 4, 4, 4), dense=4)


class Noise(ShapeDataSource):
    """Images of noise, the lighter the higher their class.

    While the batch of the step `at` is handed out, the last process gets a signal.
    """

    def __init__(self, at=None, number=None, sizes=(BATCH * STEPS - 4, 30, 10_007), image_size=16):
        super().__init__(image_size=image_size, class_names=("dark", "grey", "light"), sizes=sizes, ranges=None)
        self._at, self._number = at, number

    def batches(self, *arguments, first=0, **options):
        for number, batch in enumerate(super().batches(*arguments, first=first, **options), first):
            if number == self._at and distributed.process_index() == distributed.process_count() - 1:
                os.kill(os.getpid(), self._number)
            yield batch

    def load(self, split):
        labels = np.arange(self._sizes[split]) % 3
        images = np.random.default_rng(len(split)).integers(0, 128, (len(labels), *self.image_shape))
        return (images + 40 * labels[:, None, None, None]).astype(np.uint8), labels


def fit(folder, name, source=None, config=CONFIG, resume=False, model=SHALLOW):
    """Trains in `folder / name` and leaves the weights beside it, those of each process."""
    classifier = Trainer(model, source or Noise(), config, folder / name, checkpoint_seconds=0).fit(resume)
    np.savez(folder / f"{name}-{distributed.process_index()}.npz", *jax.tree.leaves(classifier.variables))


def untrained(source, seed=0):
    variables = drawn(PREDICTING, source.image_shape, seed)
    return Classifier(PREDICTING, variables, source.class_names, source.image_shape)


def without_curves(_):
    """The runs of this process, from here on, write no TensorBoard files, which take time."""
    run_directory._FOR_CURVES = ("a package that nobody has",)


def train(folder):
    """A run from end to end; one that a signal to the last process stops, and its rest; and the rest of one that was
    killed, where there is one."""
    fit(folder, "whole")
    try:
        fit(folder, "stopped", Noise(4, signal.SIGTERM))
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
    fit(folder, "stopped", resume=True)
    if (folder / "killed").exists():
        fit(folder, "killed", resume=True)


def train_once(folder):
    """A run from end to end."""
    fit(folder, "whole")


def train_double(folder):
    """A run with float64 for weights and all that is computed with them, from here on."""
    HELD[jax.enable_x64] = True
    sealed_file._TYPES += ("float64",)  # for its checkpoints
    create, normalise = trainer.create_train_state, step.normalise

    def double(array):
        return np.asarray(array, np.float64) if array.dtype == np.float32 else array

    trainer.create_train_state = lambda *arguments, **more: jax.tree.map(double, create(*arguments, **more))
    step.normalise = lambda images: normalise(images).astype(np.float64)
    fit(folder, "double")


def killed(folder):
    """A run whose last process is killed."""
    fit(folder, "killed", Noise(5, signal.SIGKILL))


def endless(folder):
    """A run that goes on until something ends it."""
    fit(folder, "endless", config=TrainConfig(batch_size=BATCH, epochs=10**6), model=Linear(num_classes=3))


def unlike(folder):
    """Runs and predictions of which every process has something of its own, and a run whose batches cannot be divided;
    what each of them is told."""
    process = distributed.process_index()
    source, data = Noise(), folder / f"data{process}"
    classifier = untrained(source)
    data.mkdir()
    Image.new("L", (16, 16), 40).save(data / f"{process}.png")
    (folder / "file").touch()

    def other_images():
        source = Noise()
        source._examples("validation").images[7, 3, 3] ^= process
        fit(folder, "unlike", source)

    attempts = {
        "settings": lambda: fit(folder, "unlike", config=replace(CONFIG, seed=process)),
        "images": other_images,
        "model": lambda: predict_samples(untrained(source, seed=process), [], folder / "out"),
        "data": lambda: read_samples(data, classifier),
        "classes": lambda: read_samples(data, replace(classifier, class_names=("a", "b", f"c{process}"))),
        "missing": lambda: read_samples(data / "1.png", classifier),
        "output": lambda: predict_samples(classifier, [], folder / f"out{process}"),
        "no folder": lambda: predict_samples(classifier, [], folder / "file"),
        "undivided": lambda: fit(folder, "undivided", config=TrainConfig(batch_size=17)),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except InputError as error:
            print(f"{name}: {error}".replace(str(folder), "FOLDER"), file=sys.stderr)


def default_network(folder):
    """A few steps as the commands that train take them: the default network, with a device for each core.

    It is compiled as users do it, because the bits of different programs are compared.
    """
    jax.config.update("jax_disable_most_optimizations", False)
    source, config = Noise(sizes=(192, 64, 1), image_size=64), TrainConfig()
    share_out_cores(config.batch_size // distributed.process_count())
    fit(folder, "run", source, config, model=CNN(num_classes=3))


def predict(folder):
    """Metrics of the evaluation split, and what `predict_samples` writes for a folder and for an npz file."""
    source = Noise()
    classifier = untrained(source)
    metrics = json.dumps(evaluate(classifier, source).metrics())
    (folder / f"metrics-{distributed.process_index()}.json").write_text(metrics)
    for data in ("images.npz", "images"):
        predict_samples(classifier, read_samples(folder.parent / data, classifier), folder / f"of {data}")


def main():
    tasks = (without_curves, train, train_once, train_double, killed, endless, unlike, default_network, predict)
    tasks = {task.__name__: task for task in tasks}
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", help="their names, with spaces between")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--cores", type=int, nargs="+", help="those that the process may use")
    parser.add_argument("--heartbeat", type=int, default=distributed.HEARTBEAT_SECONDS)
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    arguments = parser.parse_args()
    distributed.HEARTBEAT_SECONDS = arguments.heartbeat
    if arguments.cores:
        os.sched_setaffinity(0, arguments.cores)
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    if arguments.coordinator:
        distributed.initialise(arguments.coordinator, arguments.processes, arguments.process)
    for name in arguments.tasks.split():
        tasks[name](arguments.folder)
    distributed.broadcast_from_first(lambda: None)  # all wait for the first, which serves the others


def exit_status():
    """0, or 1 with a line that tells why; where others wait for this process, it does not wait for them."""
    try:
        main()
    except Exception as error:
        line = error if isinstance(error, InputError) else distributed.lost(error)
        print(f"error: {line}" if line else traceback.format_exc(), file=sys.stderr)
        distributed.leave(1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(exit_status())
