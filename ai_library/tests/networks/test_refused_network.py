"""Networks of a user's own that are refused: they mix images, lose an axis, or cannot be stored."""

import dataclasses
import enum

import flax.linen as nn
import numpy as np
import pytest

from ai_library import ArrayDataSource, InputError, TrainConfig, Trainer
from ai_library.networks.network import arguments, check_network
from ai_library.tests.own_networks import Linear, Standardising

pytestmark = pytest.mark.usefixtures("quickly_compiled")


IMAGES = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8)


@pytest.mark.slow
def test_a_network_that_mixes_the_images_of_a_batch_is_refused_after_an_epoch():
    labels = np.arange(8) % 3
    source = ArrayDataSource(train=(IMAGES, labels), validation=(IMAGES, labels))
    config = TrainConfig(epochs=1, batch_size=8)
    Trainer(Standardising(3, (1, 2, 3)), source, config, False, verbose=False).fit()
    with pytest.raises(InputError, match="must not depend on the other images of the batch, but those of Standardis"):
        Trainer(Standardising(3), source, config, False, verbose=False).fit()


class Squeezing(nn.Module):
    """Loses the axis of the images where there is one."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.num_classes)(images.mean((1, 2), keepdims=True).squeeze((1, 2)).squeeze())


def test_a_network_must_give_logits_of_a_single_image_too():
    with pytest.raises(InputError, match=r"Squeezing must give logits \(b, 3\), .* but gives \(3,\) for b = 1"):
        check_network(Squeezing(3), (8, 8, 4), 3)


class Kind(enum.StrEnum):
    RELU = "relu"
    TANH = "tanh"


class Choosing(Linear):
    kind: Kind = Kind.TANH


def test_an_enum_is_no_text():
    assert arguments(Choosing(3)) == {"num_classes": 3}
    with pytest.raises(InputError, match="Choosing.kind must be a number, a text, .* got <Kind.RELU: 'relu'>"):
        arguments(Choosing(3, Kind.RELU))


@dataclasses.dataclass(frozen=True)
class Sizes:
    width: int = 8


class Sized(Linear):
    sizes: Sizes = dataclasses.field(default_factory=Sizes)
    rate: object = 0.5


def test_a_default_that_is_made_is_left_out_and_numpys_numbers_are_stored_as_pythons():
    assert arguments(Sized(np.int64(3), rate=np.float64(0.25))) == {"num_classes": 3, "rate": 0.25}
    with pytest.raises(InputError, match="Sized.sizes must be a number"):
        arguments(Sized(3, Sizes(9)))
