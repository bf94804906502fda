"""Own losses, optimizers and networks are used as they are when a run begins; the library's share programs."""

import dataclasses
import logging

import flax.linen as nn
import jax
import optax
import pytest

from ai_library import CNN, InputError, ShapeDataSource, TrainConfig, Trainer, load_model, save_model
from ai_library.tests.own_networks import Linear
from ai_library.training.losses import CrossEntropy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]

SOURCE = ShapeDataSource(image_size=16, class_names=("circle", "cross", "star"), sizes=(64, 32, 32))
CONFIG = TrainConfig(batch_size=16)


class Scaled:
    """A cross-entropy times a factor, and gradient descent at a multiple of the rate; both can be changed."""

    def __init__(self, factor):
        self.factor = factor

    def loss(self, logits, labels):
        return self.factor * optax.softmax_cross_entropy_with_integer_labels(logits, labels)

    def optimizer(self, schedule):
        return optax.sgd(lambda step: self.factor * schedule(step))


def first_row(model=Linear(3), **more):
    trainer = Trainer(model, SOURCE, CONFIG, False, verbose=False, **more)
    trainer.fit()
    return trainer.history[0]


@pytest.mark.parametrize("name", ["loss", "optimizer"])
def test_a_run_uses_a_function_as_it_is_when_the_run_begins(name):
    """A bound method is equal to itself before and after its object changes, as a function is to itself."""
    changing = Scaled(1.0)
    before = first_row(**{name: getattr(changing, name)})
    changing.factor = 4.0
    after, fresh = (first_row(**{name: getattr(each, name)}) for each in (changing, Scaled(4.0)))
    assert after == fresh
    assert after["train_loss"] != before["train_loss"]


WIDTH = 4


class Reading(nn.Module):
    """Its width is a global variable."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.num_classes)(nn.tanh(nn.Dense(WIDTH)(images.reshape(len(images), -1))))


class Other(Reading):
    """The same, which no earlier run has used."""


def test_a_run_uses_a_network_as_it_is_when_the_run_begins(monkeypatch, tmp_path):
    def fit(model, epochs, resume=False):
        config = TrainConfig(batch_size=16, epochs=epochs)
        trainer = Trainer(model, SOURCE, config, tmp_path / "run", verbose=False)
        return trainer.fit(resume), trainer.history

    classifier, before = fit(Reading(3), 1)
    save_model(tmp_path / "model.msgpack", classifier)
    load_model(tmp_path / "model.msgpack", networks=[Reading])
    monkeypatch.setattr(nn, "tanh", nn.relu)  # as where a notebook's cell is edited
    with pytest.warns(UserWarning, match="the code of Reading computed something else"):
        load_model(tmp_path / "model.msgpack", networks=[Reading])
    with pytest.raises(InputError, match="computes something else than when it began"):
        fit(Reading(3), 2, resume=True)
    monkeypatch.setattr(f"{__name__}.WIDTH", 6)
    assert first_row(Reading(3)) == first_row(Other(3)) != before[0]


def test_a_loss_need_not_be_hashable():
    @dataclasses.dataclass
    class Tempered:
        factor: float

        def __call__(self, logits, labels):
            return optax.softmax_cross_entropy_with_integer_labels(self.factor * logits, labels)

    assert Tempered.__hash__ is None
    assert first_row(loss=Tempered(1.0)) == first_row()


def test_the_librarys_own_functions_share_a_compiled_step_when_they_are_passed(caplog):
    network = CNN(3, features=(4,) * 5, dense=4)
    first_row(network)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        first_row(network, loss=CrossEntropy(0.0), optimizer=CONFIG.make_optimizer())
    assert [record.message for record in caplog.records if "ompiling" in record.message] == []
