"""JAX's global settings, which belong to the user's program, change no bit of data, weights, steps and predictions."""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ai_library import (
    Augmentation,
    Classifier,
    DataSource,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    create_train_state,
    evaluate,
    train_step,
)
from ai_library.networks import network
from ai_library.runtime.jax_settings import random_key
from ai_library.tests.own_networks import Shallow
from ai_library.tests.several_processes import untrained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_curves")]

ROOT = Path(__file__).resolve().parents[3]

SETTINGS = {
    "x64": {"enable_x64": True},
    "rbg": {"default_prng_impl": "rbg"},
    "unsafe_rbg": {"default_prng_impl": "unsafe_rbg"},
    "not_partitionable": {"threefry_partitionable": False},
    "strict_types": {"numpy_dtype_promotion": "strict"},
    "strict_ranks": {"numpy_rank_promotion": "raise"},
    "no_transfers": {"transfer_guard": "disallow"},
    "debugging": {"debug_nans": True, "check_tracer_leaks": True, "default_matmul_precision": "bfloat16"},
}
EVERYTHING = {
    "enable_x64": True,
    "default_prng_impl": "rbg",
    "threefry_partitionable": False,
    "numpy_dtype_promotion": "strict",
    "numpy_rank_promotion": "raise",
    "transfer_guard": "disallow",
    "random_seed_offset": 1,
}
TRAINED = Shallow(num_classes=3)
CONFIG = TrainConfig(
    epochs=2,
    batch_size=8,
    ema_decay=0.9,
    label_smoothing=0.1,
    augmentation=Augmentation(shift=1),
)
STEPS, PER_EPOCH = 6, 3


class Noise(DataSource):
    """Images that need no program to be drawn; the batch `at` of the first epoch is never handed out, as if the process
    had been killed there."""

    def __init__(self, at=None):
        super().__init__(image_shape=(16, 16, 1), class_names=("star", "circle", "cross"))
        self.at = at

    def load(self, split):
        n = {"train": 24, "validation": 16, "evaluation": 300}[split]
        return np.random.default_rng(n).integers(0, 256, (n, 16, 16, 1), np.uint8), np.arange(n) % 3

    def batches(self, split, batch_size, epoch=None, *, first=0, **options):
        for index, batch in enumerate(super().batches(split, batch_size, epoch, first=first, **options), first):
            if (epoch, index) == (0, self.at):
                raise KeyboardInterrupt
            yield batch


def shapes():
    return ShapeDataSource(image_size=16, class_names=("star", "circle", "cross"), sizes=(24, 16, 300))


def draw():
    source = shapes()
    return (
        *source.examples("train", range(24)),
        source.factors("evaluation", [299, 3]),
        [*source.batches("train", 7, 1)],
    )


def initialise():
    return network.initialise(TRAINED, 7, (16, 16, 1)), network.summary(TRAINED, (16, 16, 1))


def step(train_step=train_step):
    source = Noise()
    state = create_train_state(TRAINED, source.image_shape, CONFIG, STEPS)
    results = []
    for images, labels in source.batches("train", 8, 0):
        state, metrics = train_step(state, images, labels)
        results.append(metrics)
    return state.params, state.model_state, state.ema_variables, state.opt_state, state.step, results


def predict():
    """By numpy, and by JAX where there are many images."""
    source = Noise()
    classifier = untrained(source)
    images, _ = source.examples("evaluation", range(300))
    return (
        classifier.predict_proba(images[:9]),
        classifier.predict_proba(images),
        evaluate(classifier, source).metrics(),
    )


def fit(run_dir, at=None):
    """A run, which with `at` is killed before the batch of that number and resumed; what it leaves behind."""
    if at is not None:
        with pytest.raises(KeyboardInterrupt):
            Trainer(TRAINED, Noise(at), CONFIG, run_dir, checkpoint_seconds=0).fit()
    classifier = Trainer(TRAINED, Noise(), CONFIG, run_dir, checkpoint_seconds=0).fit(resume=at is not None)
    files = [max((run_dir / "checkpoints").glob("*.msgpack")), run_dir / "history.csv", run_dir / "config.json"]
    return classifier.variables, classifier.temperature, classifier.metrics, [file.read_bytes() for file in files]


TASKS = {task.__name__: task for task in (draw, initialise, step, predict)}


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What each task gives under JAX's defaults."""
    results = {name: bits(task()) for name, task in TASKS.items()}
    return {**results, "fit": bits(fit(tmp_path_factory.mktemp("run") / "whole"))}


@contextlib.contextmanager
def program(settings):
    """As a program has these settings that makes them first of all, for all its threads."""
    before = {name: getattr(jax.config, f"jax_{name}") for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(f"jax_{name}", value)
        yield
    finally:
        for name, value in before.items():  # None would leave each kind of transfer as it is
            jax.config.update(f"jax_{name}", value or "allow" if name == "transfer_guard" else value)


@pytest.fixture(params=SETTINGS)
def setting(request, wanted):
    """One setting of the program's own. What was compiled before is used again where JAX finds that it fits."""
    with program(SETTINGS[request.param]):
        yield


@pytest.fixture(scope="module")
def nothing_compiled(wanted):
    jax.clear_caches()


@pytest.fixture
def every_setting(nothing_compiled):
    """All of them. JAX does not look at the PRNG when it searches for a compiled program that fits: none is there."""
    with program(EVERYTHING):
        yield


def bits(tree):
    """For each leaf its place in the tree, and its type and a digest of its bits, or the leaf where it is no array."""
    return {
        jax.tree_util.keystr(path): (str(leaf.dtype), leaf.shape, hashlib.sha256(leaf.tobytes()).hexdigest())
        if isinstance(leaf, np.ndarray | np.generic)
        else leaf
        for path, leaf in jax.tree.leaves_with_path(jax.device_get(tree))
    }


@pytest.mark.parametrize("task", TASKS)
def test_gives_the_same_bits_under_any_setting(setting, wanted, task):
    assert bits(TASKS[task]()) == wanted[task]


def test_a_run_is_killed_and_resumed_to_the_same_bits_under_any_setting(setting, wanted, tmp_path):
    assert bits(fit(tmp_path / "run", at=1)) == wanted["fit"]


@pytest.mark.parametrize("task", TASKS)
def test_gives_the_same_bits_under_all_settings_at_once(every_setting, wanted, task):
    assert bits(TASKS[task]()) == wanted[task]


def test_a_run_is_killed_and_resumed_to_the_same_bits_under_all_settings_at_once(every_setting, wanted, tmp_path):
    assert bits(fit(tmp_path / "run", at=1)) == wanted["fit"]


def test_a_step_within_a_users_own_program_has_the_same_bits_under_all_settings_at_once(every_setting, wanted):
    own_step = jax.jit(lambda state, images, labels: train_step(state, images, labels))
    assert bits(step(lambda state, *batch: own_step(state, *jax.device_put(batch)))) == wanted["step"]


def test_gives_the_same_bits_on_another_default_device(wanted):
    """Of two; `train_step` uses both whatever the default is, and adds up otherwise than on one."""
    code = f"""
import pickle, sys
import jax
from {__name__} import bits, draw, initialise, step
first = bits(step())
jax.clear_caches()
jax.config.update("jax_default_device", jax.devices()[1])
assert bits(step()) == first
assert [bits(draw()), bits(initialise())] == pickle.load(sys.stdin.buffer)
"""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    given = pickle.dumps([wanted["draw"], wanted["initialise"]])
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, input=given, check=True)


def test_the_program_keeps_its_settings_between_two_items_of_a_stream():
    source, variables = shapes(), network.initialise(TRAINED, 7, (16, 16, 1))
    classifier = Classifier(TRAINED, variables, source.class_names, source.image_shape)
    images = np.zeros((300, 16, 16, 1), np.uint8)
    with jax.enable_x64(True):
        for _ in source.batches("train", 8):
            assert jnp.zeros(1).dtype == np.float64
        for _ in classifier.predict_logits([images]):
            assert jnp.zeros(1).dtype == np.float64
        assert jnp.zeros(1).dtype == np.float64


@pytest.mark.parametrize("compiled", [False, True])
def test_labels_of_64_bits_are_labels(compiled):
    """As `jnp.arange(b)` gives them where the program has x64."""
    source = Noise()
    images, labels = source.examples("train", range(8))
    own_step = jax.jit(lambda state, images, labels: train_step(state, images, labels)) if compiled else train_step
    config = TrainConfig() if compiled else CONFIG  # of which the library's own step is compiled already

    def loss_of(labels):
        return own_step(create_train_state(TRAINED, source.image_shape, config, STEPS), images, labels)[1]

    wanted = loss_of(labels)
    with jax.enable_x64(True):
        labels = jnp.asarray(labels, jnp.int64)
        assert labels.dtype == np.int64
        found = loss_of(labels)
    if compiled:  # the conversion is a part of the user's program, which may round otherwise
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, wanted)
    else:
        assert bits(found) == bits(wanted)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_seeds_key_is_that_of_jax(seed):
    assert (jax.random.key_data(random_key(seed)) == jax.random.key_data(jax.random.key(seed))).all()
