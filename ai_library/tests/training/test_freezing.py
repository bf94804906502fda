"""Layers that are frozen stay as they are, bit by bit, and predict while others learn as they will predict later."""

import os
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from ai_library import (
    CNN,
    Classifier,
    InputError,
    ResNet,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    create_train_state,
    train_step,
)
from ai_library.networks.initial import variable_shapes
from ai_library.networks.network import summary
from ai_library.networks.transfer import layers
from ai_library.tests.own_networks import Dropping, Shallow, Stock, drawn, made

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("circle", "cross", "star")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]

SOURCE = ShapeDataSource(image_size=16, class_names=NAMES, sizes=(32, 16, 16))
SHAPE = (16, 16, 1)


class Nested(nn.Module):
    """A parameter of its own, a block that is called twice, and one that is made in `setup`."""

    num_classes: int

    def setup(self):
        self.head = nn.Dense(self.num_classes)
        self.blocks = [nn.Dense(4), nn.Dense(4)]
        self.ground = self.param("ground", nn.initializers.ones, (4,))

    def __call__(self, images, train: bool):
        x = self.blocks[1](images.reshape(len(images), -1)) + self.ground
        return self.head(self.blocks[0](self.blocks[0](x)))


OF_CNN = [f"{kind}_{i}" for i in range(5) for kind in ("Conv", "BatchNorm")] + ["Dense_0", "BatchNorm_5", "Dense_1"]


@pytest.mark.parametrize(
    ("model", "order"),
    [
        (made(CNN), OF_CNN),
        (Stock(3), ["Conv_0", "BatchNorm_0", "Conv_1", "BatchNorm_1", "Dense_0"]),
        (Dropping(3), ["Dense_0", "LayerNorm_0", "Dense_1"]),
        (Nested(3), ["blocks_1", "blocks_0", "head", ""]),
    ],
)  # fmt: skip
def test_layers_come_in_the_order_of_the_call(model, order):
    found = layers(model, SHAPE)
    assert ["/".join(path) for path in found] == order
    assert sorted(sum(found.values(), ())) == sorted(flatten_dict(variable_shapes(model, SHAPE)))


def test_layers_are_the_rows_of_the_summary():
    model = ResNet(num_classes=3, features=(4, 8))
    rows = [line.split()[0] for line in summary(model, SHAPE).splitlines()[1:-1]]
    assert ["/".join(path) for path in layers(model, SHAPE)] == rows


def stepped(model, freeze, steps=2, **config):
    """The variables before and after some steps, and the state."""
    config = TrainConfig(freeze=freeze, batch_size=16, learning_rate=0.1, **config)
    state = create_train_state(model, SHAPE, config, 9)
    before = flatten_dict(jax.device_get(state.variables))
    for step in range(steps):
        state, _ = train_step(state, *SOURCE.examples("train", range(16 * step, 16 * step + 16)))
    return before, flatten_dict(jax.device_get(state.variables)), state


@pytest.mark.parametrize("freeze", [1, 4])
def test_frozen_layers_keep_their_bits_and_all_others_move(freeze):
    decay = {"optimizer": "adamw", "optimizer_arguments": {"weight_decay": 0.1}, "ema_decay": 0.5}
    before, after, state = stepped(Stock(3), freeze, **decay)
    own = layers(Stock(3), SHAPE)
    frozen = {path for layer in [*own][:freeze] for path in own[layer]}
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == frozen
    kept = {path[1] for path in frozen}
    assert not any(name in jax.tree_util.keystr(path) for name in kept for path, _ in
                   jax.tree_util.tree_leaves_with_path(state.opt_state))  # fmt: skip


@pytest.mark.parametrize("kind", [Shallow, Stock])
def test_frozen_batch_norm_normalises_by_what_it_predicts_with(kind):
    """The loss of a step with all but the head frozen is that of the network as it predicts."""
    model = made(kind)
    number = len(layers(model, SHAPE)) - 1
    images, labels = SOURCE.examples("train", range(16))
    state = create_train_state(model, SHAPE, TrainConfig(freeze=number, batch_size=16), 9)
    classifier = Classifier(model, jax.device_get(state.variables), NAMES, SHAPE)
    logits = next(classifier.predict_logits([images]))
    wanted = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    _, metrics = train_step(state, images, labels)
    assert float(metrics["loss"]) == pytest.approx(float(wanted), rel=1e-4)
    if kind is Shallow:
        return
    free = create_train_state(model, SHAPE, TrainConfig(batch_size=16), 9)
    assert float(train_step(free, images, labels)[1]["loss"]) != pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("number", [5, 99])
def test_more_layers_than_there_are_cannot_be_frozen(number, tmp_path):
    with pytest.raises(InputError, match=f"from 0 to 4, since the last .*, number 5, Dense_0, has to .*; got {number}"):
        Trainer(Stock(3), SOURCE, TrainConfig(freeze=number), tmp_path / "run")
    with pytest.raises(InputError, match="freeze must be a whole number from 0 to"):
        TrainConfig(freeze=-1)
    assert not (tmp_path / "run").exists()


def test_what_is_random_is_not_frozen(tmp_path):
    """Frozen layers without a trained classifier, or that it has in another shape, would stay as chance made them."""
    settings = TrainConfig(freeze=1)
    with pytest.raises(InputError, match="freeze must be 0 without an initial classifier"):
        Trainer(Stock(3), SOURCE, settings, tmp_path / "run", verbose=False).fit()
    wide = (16, 16, 2)
    initial = Classifier(Stock(3), drawn(Stock(3), wide), NAMES, wide)
    with pytest.raises(InputError, match="freeze=1 must leave out layers that .* has in other shapes, such as Conv_0:"):
        Trainer(Stock(3), SOURCE, settings, tmp_path / "run", initial=initial)
    assert not (tmp_path / "run").exists()


ON_TWO = """
import sys

import jax
import numpy as np

assert jax.device_count() == 2
from ai_library.tests.training.test_freezing import Shallow, stepped

_, after, _ = stepped(Shallow(3), 3, optimizer="sgd")
np.savez(sys.argv[1], **{"/".join(path): leaf for path, leaf in after.items()})
"""


@pytest.mark.slow
def test_two_devices_freeze_the_same_as_one(tmp_path):
    """Each works on its part of a batch."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    subprocess.run([sys.executable, "-c", ON_TWO, tmp_path / "two.npz"], cwd=ROOT, env=environment, check=True)
    before, after, state = stepped(Shallow(3), 3, optimizer="sgd")
    with np.load(tmp_path / "two.npz") as two:
        for path, leaf in after.items():
            name, frozen = "/".join(path), path in state.frozen.variables
            np.testing.assert_allclose(two[name], leaf, rtol=0 if frozen else 1e-3, atol=0 if frozen else 1e-4)
            assert np.array_equal(two[name], before[path]) == frozen


class ReluDense(nn.Dense):
    def __call__(self, inputs):
        return nn.relu(super().__call__(inputs))


class Wrapped(nn.Module):
    """Whose first layer calls itself as its parent class does, or is computed anew for the gradient."""

    num_classes: int
    again: bool = False

    @nn.compact
    def __call__(self, images, train: bool):
        layer = nn.remat(nn.Dense) if self.again else ReluDense
        x = layer(8, name="first")(images.reshape(len(images), -1))
        return nn.Dense(self.num_classes)(x)


def test_a_frozen_layer_gives_what_all_of_it_gives():
    losses = []
    for freeze in (0, 1):
        state = create_train_state(Wrapped(3), SHAPE, TrainConfig(freeze=freeze), steps=2)
        losses.append(float(train_step(state, *SOURCE.examples("train", range(16)))[1]["loss"]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_layer_that_cannot_be_frozen_is_named():
    state = create_train_state(Wrapped(3, again=True), SHAPE, TrainConfig(freeze=1), steps=2)
    with pytest.raises(InputError, match="freeze must leave out layers within nn.remat, nn.scan or nn.jit, such as "):
        train_step(state, *SOURCE.examples("train", range(16)))
