"""The network's shape, size and arithmetic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ai_library import CNN, InputError
from ai_library.networks.network import normalise
from ai_library.tests.own_networks import drawn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patch", "image_shape"), [(1, (1, 1, 1)), (1, (28, 56, 3)), (2, (8, 8, 2)), (4, (5, 9, 4)), (4, (96, 40, 3))]
)
def test_takes_any_height_and_width_and_1_to_4_channels(patch, image_shape):
    """By the shapes alone: the figures are compared with those of a network written anew in `test_numpy_cnn.py`."""
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
    variables = drawn(model, (16, 16, 1))
    images = np.random.default_rng(1).standard_normal((8, 16, 16, 1)).astype(np.float32)
    _, updates = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))(variables, images)
    first = jax.lax.conv_general_dilated(
        images, variables["params"]["Conv_0"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = updates["batch_stats"]["BatchNorm_0"]
    before = variables["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], 0.9 * before["mean"] + 0.1 * first.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 * before["var"] + 0.1 * first.var((0, 1, 2)), atol=1e-4)


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
