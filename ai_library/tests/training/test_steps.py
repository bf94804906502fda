"""Many steps as one program, as a GPU takes them, and in half precision: here on a CPU, and exported for CUDA."""

import signal

import jax
import numpy as np
import pytest

from ai_library import (
    CNN,
    ArrayDataSource,
    Classifier,
    DataSource,
    ResNet,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    TrainingStopped,
    create_train_state,
    evaluate,
    train_step,
)
from ai_library.data.examples import ArrayExamples
from ai_library.networks.network import predict_logits
from ai_library.runtime import distributed
from ai_library.tests.own_networks import Shallow, drawn
from ai_library.training import steps
from ai_library.training.steps import train_steps

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

SOURCE = ShapeDataSource(image_size=16, class_names=("star", "circle"), sizes=(45, 16, 8))
MODEL = Shallow(num_classes=2)
CONFIG = TrainConfig(epochs=2, batch_size=8, ema_decay=0.9)
ORDER = np.random.default_rng(0).integers(0, 45, (4, 8))


def first_state(model=MODEL, config=CONFIG):
    variables = drawn(model, SOURCE.image_shape)
    return create_train_state(model, SOURCE.image_shape, config, steps=12, variables=variables)


def alike(first, second, within):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=within), first, second)


def in_memory():
    return ArrayDataSource(train=SOURCE.examples("train", range(45)), class_names=SOURCE.class_names)


@pytest.mark.parametrize("made", [lambda: SOURCE, in_memory])
def test_steps_in_one_program_are_those_one_by_one(made):
    source = made()
    config = TrainConfig(optimizer="sgd")  # Adam divides small gradients, whose sums were rounded otherwise
    together, metrics = train_steps(first_state(config=config), source.device_examples("train"), ORDER)
    state = first_state(config=config)
    for step, indices in enumerate(ORDER):
        state, each = train_step(state, *source.examples("train", indices))
        alike({name: values[step] for name, values in metrics.items()}, each, 2e-3)
    assert int(together.step) == 4
    alike(together.variables, state.variables, 1e-4)


class Changed(ShapeDataSource):
    """Gives the images of its batches upside down."""

    def batches(self, *arguments, **options):
        for images, labels in super().batches(*arguments, **options):
            yield images[:, ::-1], labels


def test_what_a_subclass_does_in_its_batches_is_not_passed_over():
    assert SOURCE.device_examples("train") is not None
    assert Changed().device_examples("train") is None


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(steps, "_alone_on_accelerator", lambda sharding: True)
    monkeypatch.setattr(steps, "_VALUES", 2 * 8 * 16 * 16)  # two steps at a time


class Signalling(ShapeDataSource):
    """Sends a signal when examples are asked for on the device: before a run's first step."""

    def device_examples(self, split):
        signal.raise_signal(signal.SIGTERM)
        return super().device_examples(split)

    def settings(self):
        return {**super().settings(), "source": "ShapeDataSource"}


def test_a_run_on_a_device_ends_with_a_checkpoint_and_goes_on_to_the_same_bits(as_on_a_gpu, tmp_path):
    whole = Trainer(MODEL, SOURCE, CONFIG, tmp_path / "whole").fit()
    stopping = Signalling(image_size=16, class_names=SOURCE.class_names, sizes=(45, 16, 8))
    with pytest.raises(TrainingStopped, match="stopped by SIGTERM after step 2 of 12"):
        Trainer(MODEL, stopping, CONFIG, tmp_path / "run").fit()
    resumed = Trainer(MODEL, SOURCE, CONFIG, tmp_path / "run").fit(resume=True)
    alike(resumed.variables, whole.variables, 0)
    assert (tmp_path / "run/history.csv").read_bytes() == (tmp_path / "whole/history.csv").read_bytes()


def test_a_run_on_a_device_is_the_run_of_the_host(as_on_a_gpu, monkeypatch):
    on_device = Trainer(MODEL, SOURCE, CONFIG, run_dir=False)
    on_device.fit()
    monkeypatch.undo()
    on_host = Trainer(MODEL, SOURCE, CONFIG, run_dir=False)
    on_host.fit()
    for device, host in zip(on_device.history, on_host.history, strict=True):
        assert device["train_loss"] == pytest.approx(host["train_loss"], abs=0.01)


IN_HALF = CNN(num_classes=2, features=(4,) * 5, dense=8, patch=2)


@pytest.mark.parametrize("model", [IN_HALF, ResNet(num_classes=2, features=(4,), patch=2)])
def test_half_precision_changes_a_step_little_and_its_variables_stay_single(model):
    found = {}
    for precision in ("float32", "bfloat16"):
        config = TrainConfig(precision=precision, ema_decay=0.9)
        state, metrics = train_step(first_state(model, config), *SOURCE.examples("train", range(32)))
        assert {leaf.dtype for leaf in jax.tree.leaves(state.variables)} == {np.dtype(np.float32)}
        found[precision] = float(metrics["loss"]), state.model_state
    (single, statistics), (half, others) = found["float32"], found["bfloat16"]
    assert half != single
    assert half == pytest.approx(single, abs=0.02)
    alike(others, statistics, 0.03)


def test_a_run_in_half_precision_learns():
    """By the step of the test above, which is compiled."""
    rng, labels = np.random.default_rng(0), np.arange(600) % 2
    images = rng.integers(0, 120, (600, 16, 16), np.uint8)
    images[labels == 1, 4:12, 4:12] += 100
    parts = {"train": slice(400), "validation": slice(400, 500), "evaluation": slice(500, 600)}
    source = ArrayDataSource(**{split: (images[part], labels[part]) for split, part in parts.items()})
    config = TrainConfig(epochs=3, batch_size=32, learning_rate=1e-2, precision="bfloat16", ema_decay=0.9)
    assert evaluate(Trainer(IN_HALF, source, config, run_dir=False).fit(), source).accuracy > 0.9


WIDE = CNN(num_classes=2, features=(8,) * 5, dense=8)  # has convolutions that a CPU computes in another way


@pytest.mark.parametrize(
    ("model", "precision"),
    [(WIDE, "float32"), (WIDE, "bfloat16"), (ResNet(num_classes=2, features=(8,)), "float32")],
)
def test_training_and_prediction_are_programs_for_cuda(model, precision):
    """With its own convolutions, not with what is faster on CPUs."""
    state, examples = first_state(model, TrainConfig(precision=precision)), SOURCE.device_examples("train")

    def several(arrays, data, indices):
        return jax.tree.leaves(train_steps(jax.tree.unflatten(tree, arrays), examples._replace(data=data), indices))

    def predicted(variables, images):
        return predict_logits(model, variables, images, part_by_part=True)

    arrays, tree = jax.tree.flatten(state)
    images = np.zeros((128, 16, 16, 1), np.uint8)
    programs = [
        (several, (arrays, jax.random.key_data(examples.data), ORDER.astype(np.uint32))),
        (predicted, (drawn(model, SOURCE.image_shape), images)),
    ]
    for function, arguments in programs:
        exported = jax.export.export(jax.jit(function), platforms=["cuda"])(*arguments)
        assert exported.platforms == ("cuda",)
        assert "stablehlo.convolution" in exported.mlir_module()


class Inverted(ArrayExamples):
    def __getitem__(self, indices):
        images, labels = super().__getitem__(indices)
        return 255 - images, labels


class Inverting(DataSource):
    def __init__(self):
        super().__init__(image_shape=SOURCE.image_shape, class_names=SOURCE.class_names)

    def load(self, split):
        return Inverted(*SOURCE.examples("train", range(45)))


def test_what_a_subclass_does_in_its_examples_is_not_passed_over():
    assert Inverting().device_examples("train") is None


@pytest.mark.parametrize(("epoch", "first"), [(0, 0), (3, 2)])
def test_a_device_takes_the_examples_that_the_host_would(as_on_a_gpu, monkeypatch, epoch, first):
    taken = []
    monkeypatch.setattr(steps, "train_steps", lambda state, examples, indices: taken.extend(indices))
    sharding, source = distributed.batch_shardings(8)[1], in_memory()
    for _, take in steps.Steps(source, 8, sharding).of_epoch(epoch, first):
        take(None)
    wanted = [*source.batches("train", 8, epoch, first=first, full=True)]
    assert len(taken) == len(wanted)
    for indices, (images, labels) in zip(taken, wanted, strict=True):
        found = source.examples("train", indices)
        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)


@pytest.mark.parametrize(("side", "block"), [(64, 2048), (224, 1024), (1024, 64), (4096, 4)])
def test_a_gpu_predicts_as_many_images_at_once_as_their_size_allows(side, block):
    assert Classifier(MODEL, {}, SOURCE.class_names, (side, side, 1))._accelerator_block() == block
