"""A run goes on only with a training step that computes what it computed before, whatever code it is made of."""

import logging

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from ai_library import InputError, ShapeDataSource, TrainConfig, Trainer
from ai_library.runtime import lowered
from ai_library.runtime.agreement import code_version
from ai_library.tests.own_networks import Linear
from ai_library.training import program

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

SOURCE = ShapeDataSource(image_size=16, class_names=("circle", "cross", "star"), sizes=(32, 32, 32))


def fitted(folder, epochs, model=Linear(3), **more):
    Trainer(model, SOURCE, TrainConfig(epochs=epochs, batch_size=16), folder, verbose=False, **more).fit(epochs > 1)


def code(text, **names):
    """The object "made" of Python code, as a module would have it."""
    exec(text, vars := {"nn": nn, "jax": jax, "np": np, "optax": optax, **names})
    return vars["made"]


NETWORK = """
class made(nn.Module):
    num_classes: int = 3

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.num_classes)(nn.relu(nn.Dense(5)(images.reshape(len(images), -1))))
"""
LOSS = """
def helper(losses):
    return losses + weights.sum()

def made(logits, labels):
    return jax.jit(helper)(optax.softmax_cross_entropy_with_integer_labels(logits, labels)) * 1.5
"""


def parts(network=NETWORK, loss=LOSS, weight=0.1, momentum=0.9):
    """A network, a loss and an optimizer, made anew, for a `Trainer`."""
    weights = np.linspace(0, 1, 999, dtype=np.float32)
    weights[500] = weight
    return {
        "model": code(network)(),
        "loss": code(loss, weights=weights),
        "optimizer": lambda schedule: optax.sgd(schedule, momentum),
    }


def test_a_run_goes_on_with_the_same_code_made_anew_and_not_with_other_code_of_its_name(tmp_path):
    fitted(tmp_path / "run", 1, **parts())
    fitted(tmp_path / "run", 2, **parts(loss="# summed" + LOSS.replace("helper", "f"), network=f"{NETWORK}\n# relu"))
    others = [
        parts(network=NETWORK.replace("relu", "gelu")),
        parts(
            network=NETWORK.replace("nn.Dense(5)", "(1 if train else 2) * nn.Dense(5)")
        ),  # validation's, not the step's
        parts(loss=LOSS.replace("1.5", "1.6")),
        parts(loss=LOSS.replace("sum()", "max()")),
        parts(weight=0.2),
        parts(momentum=0.8),
    ]
    for other in others:
        with pytest.raises(InputError, match="computes something else than when it began"):
            fitted(tmp_path / "run", 3, **other)


def test_a_helper_in_the_place_of_another_is_noticed_and_its_name_is_not():
    def digest(text):
        return lowered.digest(jax.jit(code(text)).lower(np.ones(3, np.float32)))

    text = "one = jax.jit(lambda x: x + 1)\nother = jax.jit(lambda x: x * 3)\nmade = lambda x: other(one(one(x)))"
    assert digest(text) == digest(text.replace("lambda x: x", "lambda y: y"))
    assert digest(text) == digest(text.replace("one", "a").replace("other", "b"))
    assert digest(text) != digest(text.replace("other(one(one(x)))", "one(other(one(x)))"))


@pytest.mark.parametrize("donated", [(), (0,)])
def test_settings_of_jax_that_are_left_to_the_user_change_nothing(donated):
    """Who looks for a nan resumes a run with `jax_debug_nans`, which has no array donated."""

    def digest():
        jax.clear_caches()
        made = jax.jit(lambda x, y: (x @ y, jax.debug.callback(print, y)), donate_argnums=donated)
        return lowered.digest(made.lower(np.ones((3, 3), np.float32), np.ones((3, 3), np.float32)))

    wanted = digest()
    for precision in ("highest", "F32_F32_F32"):
        with jax.debug_nans(True), jax.default_matmul_precision(precision):
            assert digest() == wanted


@pytest.mark.parametrize("old", [None, [1], {}, {"step": 5, "x" * 10**6: {"a": [2] * 9999}}])
def test_a_checkpoint_that_tells_no_program_of_use_goes_on_and_a_line_says_so(old, tmp_path):
    with pytest.warns(UserWarning, match="does not tell what|may not be") as told:
        program.check_same(tmp_path / "run", old, {"step": "0", "jax": "1"})
    assert len(str(told[0].message)) < 900


def test_with_another_version_it_goes_on_and_says_what_cannot_be_promised(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "code_version", lambda: {**code_version(), "jax": "0.0.9"})
    fitted(tmp_path / "run", 1, loss=parts()["loss"])
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r'may not be, bit by bit, .* not noticed; jax was "0.0.9", is now "'):
        fitted(tmp_path / "run", 2, loss=parts(weight=0.2)["loss"])


def test_to_describe_a_program_costs_no_second_lowering(tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        fitted(tmp_path / "run", 1, loss=parts()["loss"])
    lowered = [each for each in caplog.messages if "MLIR module conversion" in each and "train_step" in each]
    assert len(lowered) == 1


def test_a_setting_in_the_state_of_an_optimizer_of_ones_own_is_noticed(tmp_path):
    def injected(decay):
        make = optax.inject_hyperparams(optax.adamw)
        return lambda schedule: make(learning_rate=schedule, weight_decay=decay)

    fitted(tmp_path / "run", 1, optimizer=injected(1e-4))
    fitted(tmp_path / "run", 2, optimizer=injected(1e-4))
    with pytest.raises(InputError, match="computes something else than when it began"):
        fitted(tmp_path / "run", 3, optimizer=injected(5.0))


def test_a_run_of_a_version_that_did_not_tell_how_its_optimizer_begins_goes_on(tmp_path, recwarn):
    program.check_same(tmp_path, {"step": "0"}, {"step": "0", "optimizer": "1"})
    assert not recwarn
