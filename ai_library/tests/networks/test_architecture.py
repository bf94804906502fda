"""What is known of a network without JAX is what Flax says of it."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from ai_library import CNN, InputError
from ai_library.networks.architecture import Architecture
from ai_library.networks.layers import Conv
from ai_library.networks.network import arguments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patch", "image_shape"),
    [
        *((1, shape) for shape in ((1, 1, 1), (5, 9, 4), (28, 56, 1))),
        *((3, shape) for shape in ((8, 8, 2), (17, 30, 3), (4096, 33, 1))),
        *((16, shape) for shape in ((1, 1, 1), (17, 30, 3), (65, 16, 3))),
    ],
)
def test_variables_have_the_shapes_and_types_that_flax_gives_them(patch, image_shape):
    model = CNN(num_classes=5, features=(4, 6, 8, 10, 12), dense=7, patch=patch)
    architecture = Architecture(**arguments(model))
    variables = model.variable_shapes(image_shape)
    wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), variables)
    found = architecture.variable_shapes(image_shape)
    assert jax.tree.map(tuple, found, is_leaf=lambda leaf: isinstance(leaf, tuple)) == wanted

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    outputs = jax.eval_shape(partial(convolutions, model), variables, images)
    assert architecture.activations(image_shape) == sum(output.size for output in outputs)


def convolutions(model, variables, images):
    """The outputs of its convolutions for images (1, h, w, c)."""
    _, captured = model.apply(
        variables, images, train=False, capture_intermediates=lambda module, _: isinstance(module, Conv)
    )
    return jax.tree.leaves(captured["intermediates"])


def test_arguments_are_those_of_the_network_with_the_same_defaults():
    assert vars(Architecture(num_classes=3)) == vars(Architecture(**arguments(CNN(num_classes=3))))
    assert CNN(**vars(Architecture(3, [8] * 5))) == CNN(3, (8,) * 5)


@pytest.mark.parametrize("image_shape", [(0, 64, 1), (4097, 64, 1), (64, 64, 0), (64, 64, 5), (64, 64), 64, "abc"])
def test_image_shapes_that_the_network_does_not_take_are_refused(image_shape):
    message = "image shape must be .* sides from 1 to 4,096 pixels and 1 to 4 channels, got "
    with pytest.raises(InputError, match=message + re.escape(repr(image_shape))):
        Architecture(3).variable_shapes(image_shape)
