"""What is known of a network without JAX is what Flax says of it."""

import jax
import jax.numpy as jnp
import pytest

from ai_library import CNN, InputError
from ai_library.architecture import Architecture
from ai_library.layers import Conv


@pytest.mark.parametrize("image_shape", [(16, 16, 1), (17, 30, 3), (28, 28, 1), (65, 16, 3), (4096, 33, 1)])
@pytest.mark.parametrize("patch", [1, 2, 3, 4, 16])
def test_variables_have_the_shapes_and_types_that_flax_gives_them(image_shape, patch):
    model = CNN(num_classes=5, features=(4, 6, 8, 10, 12), dense=7, patch=patch)
    architecture = Architecture(**model.architecture())
    wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), model.variable_shapes(image_shape))
    found = architecture.variable_shapes(image_shape)
    assert jax.tree.map(tuple, found, is_leaf=lambda leaf: isinstance(leaf, tuple)) == wanted

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    outputs = jax.eval_shape(lambda images: convolutions(model, images), images)
    assert architecture.activations(image_shape) == sum(output.size for output in outputs)


def convolutions(model, images):
    """The outputs of its convolutions for images (1, h, w, c), with fresh variables."""
    variables = model.init(jax.random.key(0), images, train=False)
    _, captured = model.apply(
        variables, images, train=False, capture_intermediates=lambda module, _: isinstance(module, Conv)
    )
    return jax.tree.leaves(captured["intermediates"])


def test_arguments_are_those_of_the_network_with_the_same_defaults():
    assert vars(Architecture(num_classes=3)) == CNN(num_classes=3).architecture()
    assert CNN(**vars(Architecture(3, [8] * 5))) == CNN(3, (8,) * 5)


def test_image_shapes_that_the_network_does_not_take_are_refused():
    with pytest.raises(InputError, match=r"image shape \(15, 64, 1\) does not fit"):
        Architecture(3).variable_shapes((15, 64, 1))
