"""A network takes over what fits it of a trained one, and says what that is."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from ai_library import CNN, Classifier, ResNet
from ai_library.networks.transfer import digest, transfer
from ai_library.tests.own_networks import Dropping, Linear, Stock, drawn, made

pytestmark = pytest.mark.usefixtures("quickly_compiled")

NAMES = ("circle", "cross", "star")
GREY, RGB = (16, 16, 1), (16, 16, 3)


def trained(model, image_shape=GREY, names=NAMES):
    """A classifier with random weights and statistics."""
    return Classifier(model, drawn(model, image_shape, 7), names, image_shape)


def taken_over(model, image_shape, initial, names=NAMES):
    found = transfer(model, image_shape, names, initial)
    return found, found.into(drawn(model, image_shape))


def test_all_is_taken_over_where_all_is_the_same():
    initial = trained(Stock(3))
    found, variables = taken_over(Stock(3), GREY, initial)
    jax.tree.map(np.testing.assert_array_equal, variables, initial.variables)
    assert str(found) == "14 of 14 arrays of the initial classifier"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CNN, ResNet, Stock, Dropping, Linear])
@pytest.mark.parametrize(("old", "new"), [(GREY, RGB), (RGB, GREY)])
def test_between_grey_and_rgb_a_grey_image_gives_the_same(kind, old, new):
    model = made(kind)
    initial = trained(model, old)
    found, variables = taken_over(model, new, initial)
    assert len(found.adapted) == 1
    assert found.anew == ()
    grey = np.random.default_rng(0).integers(0, 256, (4, *GREY), np.uint8)
    images = {GREY: grey, RGB: np.repeat(grey, 3, axis=-1)}
    before, after = (
        next(classifier.predict_logits([images[shape]]))
        for classifier, shape in ((initial, old), (Classifier(model, variables, NAMES, new), new))
    )
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_what_does_not_fit_begins_anew_and_is_named():
    """Other classes have another head; a dense layer on all cells is of one size of images."""
    found, variables = taken_over(Stock(2), (32, 32, 3), trained(Stock(3)), ("a", "b"))
    assert str(found) == "12 of 14 arrays of the initial classifier, for other channels Conv_0; Dense_0 anew"
    fresh = flatten_dict(drawn(Stock(2), (32, 32, 3)))
    same = {path[1] for path, leaf in flatten_dict(variables).items() if np.array_equal(leaf, fresh[path])}
    assert same == {"Dense_0"}


def test_other_classes_of_the_same_number_have_a_new_head():
    found, _ = taken_over(Stock(3), GREY, trained(Stock(3)), ("a", "b", "c"))
    assert found.anew == (("Dense_0",),)


class Renamed(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.classes)(images.reshape(len(images), -1))


def test_a_head_that_is_kept_for_other_classes_is_told():
    found, _ = taken_over(Renamed(3), GREY, trained(Renamed(3)), ("a", "b", "c"))
    kept = "; its classes have other names, but without a field num_classes no layer is made anew for them"
    assert str(found) == f"2 of 2 arrays of the initial classifier{kept}"
    assert kept not in str(taken_over(Renamed(3), GREY, trained(Renamed(3)))[0])


@pytest.mark.slow
def test_transparency_is_not_guessed():
    found, _ = taken_over(Stock(3), (16, 16, 4), trained(Stock(3)))
    assert found.anew == (("Conv_0",),)


def test_a_digest_tells_weights_apart():
    first, second = trained(Linear(3)).variables, trained(Linear(3)).variables
    assert digest(first) == digest(second)
    second["params"]["Dense_0"]["bias"][0] += 1e-6
    assert digest(first) != digest(second)
