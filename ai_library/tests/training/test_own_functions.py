"""Losses and optimizers of a user's own are used as they are when a run begins; the library's share programs."""

import dataclasses
import logging

import jax
import optax
import pytest

from ai_library import ShapeDataSource, TrainConfig, Trainer
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


def first_row(**more):
    trainer = Trainer(Linear(3), SOURCE, CONFIG, False, verbose=False, **more)
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


def test_a_loss_need_not_be_hashable():
    @dataclasses.dataclass
    class Tempered:
        factor: float

        def __call__(self, logits, labels):
            return optax.softmax_cross_entropy_with_integer_labels(self.factor * logits, labels)

    assert Tempered.__hash__ is None
    assert first_row(loss=Tempered(1.0)) == first_row()


def test_the_librarys_own_functions_share_a_compiled_step_when_they_are_passed(caplog):
    first_row()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        first_row(loss=CrossEntropy(0.0), optimizer=CONFIG.make_optimizer())
    assert [record.message for record in caplog.records if "ompiling" in record.message] == []
