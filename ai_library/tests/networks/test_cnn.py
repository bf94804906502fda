"""The network's shape, size and arithmetic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ai_library import CNN, InputError
from ai_library.networks.network import normalise


@pytest.mark.slow
@pytest.mark.parametrize("image_shape", [(1, 1, 1), (5, 9, 4), (8, 8, 2), (28, 56, 3), (96, 40, 3)])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_takes_any_height_and_width_and_1_to_4_channels(image_shape, patch):
    """By the shapes alone: the figures are compared in `test_numpy_cnn.py`."""
    model = CNN(num_classes=10, features=(4, 4, 8, 8, 8), dense=8, patch=patch)
    images = jax.ShapeDtypeStruct((3, *image_shape), jnp.float32)
    logits = jax.eval_shape(partial(model.apply, train=False), model.variable_shapes(image_shape), images)
    assert logits.shape == (3, 10)
    assert logits.dtype == jnp.float32


def test_has_five_convolutions_and_two_dense_layers_with_batch_norm():
    variables = CNN(num_classes=9).variable_shapes((64, 64, 1))
    names = variables["params"].keys()
    assert sum(name.startswith("Conv") for name in names) == 5
    assert sum(name.startswith("Dense") for name in names) == 2
    assert variables["batch_stats"].keys() == {name for name in names if name.startswith("BatchNorm")}


@pytest.mark.slow
def test_training_updates_the_running_statistics_with_momentum_0_9():
    model = CNN(num_classes=3, features=(4,) * 5, dense=8, patch=1)
    variables = model.initialise(0, (16, 16, 1))
    images = np.random.default_rng(1).standard_normal((8, 16, 16, 1)).astype(np.float32)
    _, updates = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))(variables, images)
    first = jax.lax.conv_general_dilated(
        images, variables["params"]["Conv_0"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = updates["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], 0.1 * first.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * first.var((0, 1, 2)), atol=1e-4)


@pytest.mark.slow
def test_equals_the_textbook_network_with_the_same_weights():
    """Written anew with a strided convolution for the patches and XLA's own window maximum."""
    model = CNN(num_classes=4, features=(8, 8, 8, 8, 8), dense=16, patch=2)
    variables = model.initialise(3, (32, 32, 3))
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    wanted = jax.jit(_textbook)(variables["params"], images)
    found = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def _textbook(params, images):
    # A patch is one pixel of the result of a 2x2 convolution of stride 2 that copies its pixels into channels.
    identity = jnp.eye(12).reshape(2, 2, 3, 12)
    x = _convolve(images, identity, stride=2)
    for layer in range(5):
        x = _convolve(x, params[f"Conv_{layer}"]["kernel"])
        if layer in (1, 3):
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jnp.maximum(x / jnp.sqrt(1 + 1e-5), 0)  # fresh running statistics: mean 0, variance 1
    x = x.reshape(2, -1) @ params["Dense_0"]["kernel"]
    x = jnp.maximum(x / jnp.sqrt(1 + 1e-5), 0)
    return x @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


def _convolve(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_normalise_maps_the_darkest_to_minus_one_and_the_lightest_to_one():
    np.testing.assert_allclose(normalise(np.array([0, 255], np.uint8)), [-1, 1], atol=1e-6)


@pytest.mark.slow
def test_weights_follow_from_the_seed():
    model = CNN(num_classes=3, features=(4,) * 5, dense=8, patch=1)
    first, again, other = (model.initialise(seed, (16, 16, 1)) for seed in (1, 1, 2))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), first, again))
    assert (first["params"]["Conv_0"]["kernel"] != other["params"]["Conv_0"]["kernel"]).any()


def test_summary_lists_layers_in_order_with_their_parameters():
    model = CNN(num_classes=9)
    text = model.summary((64, 64, 1))
    total = sum(leaf.size for leaf in jax.tree.leaves(model.variable_shapes((64, 64, 1))["params"]))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["Conv_0", "BatchNorm_0", "Conv_1"]
    assert lines[1].split() == ["Conv_0", "3x3x16x32", "16x16x32", "4,608"]
    assert lines[-1].split()[-1] == f"{total:,}"


@pytest.mark.parametrize(
    "arguments", [{"num_classes": 1}, {"num_classes": 3, "features": (8, 8)}, {"num_classes": 3, "patch": 0}]
)
def test_impossible_networks_are_refused(arguments):
    with pytest.raises(InputError, match=list(arguments)[-1]):
        CNN(**arguments)
