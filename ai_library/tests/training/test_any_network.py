"""Any network trains, is saved, read, evaluated and resumed, on one device and on two."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ai_library import (
    CNN,
    DataSource,
    ResNet,
    TrainConfig,
    Trainer,
    TrainingStopped,
    create_train_state,
    evaluate,
    load_model,
    save_model,
    train_step,
)
from ai_library.tests.own_networks import OWN, Dropping, Linear, Stock, made

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

ROOT = Path(__file__).resolve().parents[3]
ON_ONE = [ResNet, *OWN]
"""`Mirrored` among them, which a user derives from `CNN`, stands for `CNN`, too: it runs the same code."""
ON_TWO = [CNN, ResNet, Stock, Dropping, Linear]
CONFIG = TrainConfig(epochs=2, batch_size=16, ema_decay=0.9)


class Signalling(DataSource):
    """Images of noise, the lighter the higher their class; while the batch `at` of the first epoch is handed out, the
    process gets a SIGTERM."""

    def __init__(self, at=None):
        super().__init__(seed=1, image_shape=(16, 16, 1), class_names=("circle", "cross", "star"))
        self.at = at

    def load(self, split):
        labels = np.arange({"train": 64, "validation": 40, "evaluation": 300}[split]) % 3
        images = np.random.default_rng(len(labels)).integers(0, 128, (len(labels), 16, 16, 1))
        return (images + 40 * labels[:, None, None, None]).astype(np.uint8), labels

    def batches(self, split, batch_size, epoch=None, *, first=0, **options):
        for index, batch in enumerate(super().batches(split, batch_size, epoch, first=first, **options), first):
            if (epoch, index) == (0, self.at):
                os.kill(os.getpid(), 15)
            yield batch


def life(kind, folder):
    """A network's whole life: training, a training that a signal interrupts and its resumption, saving, reading,
    evaluation, and prediction of 1, 100 and 300 images at a time."""
    model = made(kind)
    whole = Trainer(model, Signalling(), CONFIG, folder / "whole", verbose=False).fit()
    with pytest.raises(TrainingStopped):
        Trainer(model, Signalling(2), CONFIG, folder / "stopped", verbose=False).fit()
    resumed = Trainer(model, Signalling(), CONFIG, folder / "stopped", verbose=False).fit(resume=True)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
    assert resumed.metrics == whole.metrics

    save_model(folder / "model.msgpack", whole)
    loaded = load_model(folder / "model.msgpack", networks=OWN)
    images, labels = Signalling().examples("evaluation", range(300))
    wanted = whole.predict_proba(images)
    for size in (1, 100, 300):
        parts = [loaded.predict_proba(images[start : start + size]) for start in range(0, min(300, 5 * size), size)]
        np.testing.assert_allclose(np.concatenate(parts), wanted[: sum(map(len, parts))], atol=1e-5)
    report = evaluate(loaded, Signalling())
    assert report.accuracy == pytest.approx((wanted.argmax(axis=1) == labels).mean())
    return whole


@pytest.mark.parametrize("kind", ON_ONE)
def test_any_network_lives_on_one_device(kind, tmp_path):
    assert jax.device_count() == 1
    life(kind, tmp_path)


LIVES_ON_TWO = """
import sys
from pathlib import Path

import jax
import numpy as np

assert jax.device_count() == 2
from ai_library.tests.training.test_any_network import ON_TWO, gradients_of_a_mixing_loss, life, one_step
from ai_library.training import run_directory

run_directory._FOR_CURVES = ("a package that nobody has",)  # as `without_curves` does it
folder = Path(sys.argv[1])
np.savez(folder / "step.npz", *jax.tree.leaves(one_step()))
np.savez(folder / "mixing.npz", *jax.tree.leaves(gradients_of_a_mixing_loss()))
for kind in ON_TWO:
    (folder / kind.__name__).mkdir()
    life(kind, folder / kind.__name__)
    (folder / kind.__name__ / "lived").touch()
"""


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    """The folder in which a process with two devices took a step, and then let networks live; and how it ended."""
    folder, environment = tmp_path_factory.mktemp("two"), {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    command = [sys.executable, "-c", LIVES_ON_TWO, str(folder)]
    return folder, subprocess.run(command, cwd=ROOT, env=environment).returncode


def test_any_network_lives_on_two_devices(on_two_devices):
    folder, status = on_two_devices
    assert [kind for kind in ON_TWO if not (folder / kind.__name__ / "lived").exists()] == []
    assert status == 0


def one_step():
    """The statistics of linen's BatchNorm after a step on a batch whose halves are unlike."""
    state = create_train_state(made(Stock), (16, 16, 1), CONFIG, 9)
    images = np.repeat(np.array([20, 200], np.uint8), 8)[:, None, None, None] + np.zeros((16, 16, 16, 1), np.uint8)
    state, _ = train_step(state, images, np.arange(16) % 3)
    return jax.device_get(state.model_state)


def test_stock_batch_norm_sees_the_whole_batch_on_two_devices(on_two_devices):
    with np.load(on_two_devices[0] / "step.npz") as two:
        for one, name in zip(jax.tree.leaves(one_step()), two.files, strict=True):
            np.testing.assert_allclose(two[name], one, rtol=1e-4, atol=1e-5)


def gradients_of_a_mixing_loss():
    """The gradients of a network that devices divide among them, and of a loss whose halves of the batch are unlike."""

    def balanced(logits, labels):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses / jnp.bincount(labels, length=logits.shape[-1])[labels] * len(labels)

    config = dataclasses.replace(CONFIG, class_weights=(1.0, 2.0, 3.0))
    model = CNN(num_classes=3, features=(4, 4, 4, 4, 4), dense=4)
    state = create_train_state(model, (16, 16, 1), config, 9, loss=balanced, optimizer=lambda _: optax.sgd(1.0))
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 1), np.uint8)
    before = jax.device_get(state.params)
    state, _ = train_step(state, images, np.array([0] * 9 + [1, 2] * 3 + [0]))
    return jax.tree.map(np.subtract, before, jax.device_get(state.params))


def test_a_loss_that_mixes_the_batch_has_the_gradients_of_the_whole_batch_on_two_devices(on_two_devices):
    with np.load(on_two_devices[0] / "mixing.npz") as two:
        for one, name in zip(jax.tree.leaves(gradients_of_a_mixing_loss()), two.files, strict=True):
            np.testing.assert_allclose(two[name], one, rtol=1e-4, atol=1e-4)
