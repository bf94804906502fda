"""The engines of a CPU, numpy and ONNX Runtime, compute what the Flax network computes."""

import dataclasses
import pickle

import jax
import numpy as np
import pytest

from ai_library import CNN, Classifier, load_model, save_model
from ai_library.networks.architecture import EPSILON, Architecture
from ai_library.networks.network import PART, arguments, predict_logits
from ai_library.networks.numpy_cnn import logits_by_numpy
from ai_library.networks.onnx_engine import OnnxEngine
from ai_library.runtime.cpu import cores
from ai_library.tests.memory import peak_bytes
from ai_library.tests.own_networks import drawn

pytestmark = pytest.mark.slow

TOLERANCE = 5e-6
"""Of the largest logit's size. Float32 has steps of 6e-8; a logit is the sum of thousands of products."""


BY_FLAX = [(1, (5, 9, 2)), (2, (17, 30, 3)), (4, (28, 56, 1)), (16, (1, 1, 1))]
"""Patches and image shapes for which the Flax network is compiled, which takes its time."""
SHAPES = [(1, 1, 1), (5, 9, 2), (8, 8, 4), (17, 30, 3), (28, 56, 1), (33, 96, 3), (64, 64, 1)]


def lively(model, image_shape, seed=0):
    """Variables like those of a trained network, where no statistic is 0 or 1 and slopes have both signs."""
    rng, variables = np.random.default_rng(seed), drawn(model, image_shape, seed)
    for layer in (f"BatchNorm_{i}" for i in range(6)):
        params, statistics = variables["params"][layer], variables["batch_stats"][layer]
        width = len(params["scale"])
        params["scale"] = rng.uniform(-0.5, 1.5, width).astype(np.float32)
        params["bias"] = rng.normal(0, 0.3, width).astype(np.float32)
        statistics["mean"] = rng.normal(0, 0.3, width).astype(np.float32)
        statistics["var"] = rng.uniform(0.1, 2, width).astype(np.float32)
    return variables


def in_float64(architecture, variables, images):
    """The network written anew in float64, pixel by pixel of the kernel."""
    params, statistics = (
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables[k]) for k in ("params", "batch_stats")
    )

    def norm(x, layer):
        p, s = params[f"BatchNorm_{layer}"], statistics[f"BatchNorm_{layer}"]
        return np.maximum((x - s["mean"]) / np.sqrt(s["var"] + EPSILON) * p["scale"] + p["bias"], 0)

    patch = architecture.patch
    x = images / 127.5 - 1.0
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % patch), (0, -x.shape[2] % patch), (0, 0)))
    x = np.concatenate([x[:, i::patch, j::patch] for i in range(patch) for j in range(patch)], axis=3)
    for layer in range(5):
        kernel, (h, w) = params[f"Conv_{layer}"]["kernel"], x.shape[1:3]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = sum(padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3))
        if layer in (1, 3) and min(h, w) > 1:
            x = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
            x = np.max([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)
        x = norm(x, layer)
    x = norm(x.reshape(len(x), -1) @ params["Dense_0"]["kernel"], 5)
    return x @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("patch", [1, 2, 4, 16])
def test_logits_are_those_of_float64_and_of_flax_but_for_rounding(image_shape, patch):
    model = CNN(num_classes=4, features=(8, 12, 16, 20, 24), dense=16, patch=patch)
    architecture, variables = Architecture(**arguments(model)), lively(model, image_shape)
    n = 2 * PART if (patch, image_shape) in BY_FLAX else 5
    images = np.random.default_rng(1).integers(0, 256, (n, *image_shape), np.uint8)
    found, exact = logits_by_numpy(architecture, variables, images), in_float64(architecture, variables, images)
    largest = np.abs(exact).max()
    for logits in (found, OnnxEngine(architecture, variables, image_shape)(images)):
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, exact, rtol=0, atol=TOLERANCE * largest)
    if (patch, image_shape) in BY_FLAX:
        by_flax = predict_logits(model, variables, images)
        np.testing.assert_allclose(found, by_flax, rtol=0, atol=2 * TOLERANCE * largest)


def test_streams_of_few_images_give_the_numbers_of_longer_ones(classifier):
    images = np.random.default_rng(0).integers(0, 256, (Classifier.FEW, 32, 32, 1), np.uint8)
    few = np.concatenate(list(classifier.predict_logits([images[:-1]])))
    many = np.concatenate(list(classifier.predict_logits([images])))[:-1]
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-5 * np.abs(many).max())
    for cuts in ([7], [64, 128], [1, 2, 200]):
        again = np.concatenate(list(classifier.predict_logits(np.split(images[:-1], cuts))))
        np.testing.assert_array_equal(again, few)


def test_many_images_give_the_same_numbers_however_their_stream_is_cut_and_whatever_they_follow(classifier):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (Classifier.FEW + 3 * Classifier.BLOCK + 5, 32, 32, 1), np.uint8)
    whole = np.concatenate(list(classifier.predict_logits([images])))
    for cuts in ([1, 300], range(100, len(images), 100)):
        again = np.concatenate(list(classifier.predict_logits(np.split(images, cuts))))
        np.testing.assert_array_equal(again, whole)
    order = rng.permutation(len(images))
    mixed = np.concatenate(list(classifier.predict_logits([images[order]])))
    np.testing.assert_allclose(mixed, whole[order], rtol=0, atol=1e-6 * np.abs(whole).max())


def test_no_more_of_a_stream_is_read_than_a_few_blocks_ahead(classifier):
    read = 0

    def batches():
        nonlocal read
        for _ in range(40):
            read += Classifier.BLOCK
            yield np.zeros((Classifier.BLOCK, 32, 32, 1), np.uint8)

    ahead = Classifier.FEW + (cores() + 1) * Classifier.BLOCK
    for count, _ in enumerate(classifier.predict_logits(batches()), start=1):
        assert read <= count * Classifier.BLOCK + ahead
    assert count == 40


def test_few_images_are_computed_one_by_one(classifier):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), np.uint8)
    alone = [classifier.predict_proba(images[i : i + 1]) for i in range(5)]
    np.testing.assert_array_equal(np.concatenate(alone), classifier.predict_proba(images))


def test_onnx_runtime_gives_an_image_the_same_numbers_whatever_comes_with_it():
    model = CNN(num_classes=4, features=(8, 12, 16, 20, 24), dense=16)
    engine = OnnxEngine(Architecture(**arguments(model)), lively(model, (64, 64, 1)), (64, 64, 1))
    images = np.random.default_rng(0).integers(0, 256, (150, 64, 64, 1), np.uint8)
    whole = engine(images)
    for size in (1, 2, 7, 64):
        np.testing.assert_array_equal(engine(images[-size:]), whole[-size:])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(engine))(images[:3]), whole[:3])


def test_without_onnx_runtime_jax_predicts_many_images(classifier, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (Classifier.FEW, 32, 32, 1), np.uint8)
    found = np.concatenate(list(classifier.predict_logits([images], by_onnx="many")))
    few = np.concatenate(list(classifier.predict_logits([images[:5]], by_onnx="all")))
    np.testing.assert_array_equal(few, found[:5])
    by_jax = np.concatenate(list(classifier.predict_logits([images])))
    np.testing.assert_allclose(by_jax, found, rtol=0, atol=1e-5 * np.abs(found).max())
    assert (by_jax != found).any()  # they round otherwise
    monkeypatch.setattr("ai_library.networks.classifier.onnx_runtime_is_there", lambda: False)
    without = dataclasses.replace(classifier)
    again = np.concatenate(list(without.predict_logits([images], by_onnx="many")))
    np.testing.assert_array_equal(again, by_jax)
    few = np.concatenate(list(without.predict_logits([images[:5]], by_onnx="all")))
    np.testing.assert_array_equal(few, next(classifier.predict_logits([images[:5]])))


def test_a_loaded_classifier_has_its_flax_network_when_that_is_asked_for(classifier, tmp_path):
    save_model(tmp_path / "m.msgpack", classifier)
    loaded = load_model(tmp_path / "m.msgpack")
    assert loaded.architecture == classifier.architecture
    assert isinstance(loaded.model, CNN)
    assert loaded.model is loaded.model
    assert dataclasses.replace(loaded, temperature=2.0).model == classifier.model
    with pytest.raises(TypeError, match="missing 4 required positional arguments: 'network'"):
        Classifier()
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.model = CNN(num_classes=3)


def test_images_larger_than_a_screen_need_a_few_times_the_memory_of_a_layer():
    """One of 512x512 pixels, without patches: 32 channels of it take 34 MB, all nine neighbours would 300 MB."""
    model = CNN(num_classes=2, features=(32, 4, 4, 4, 4), dense=2, patch=1)
    architecture, shape = Architecture(**arguments(model)), (512, 512, 1)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), model.variable_shapes(shape))
    images = np.zeros((1, *shape), np.uint8)
    assert peak_bytes(lambda: logits_by_numpy(architecture, variables, images)) < 175e6
