"""Networks of a user's own are used as they are: nothing that is proven for `CNN` alone is taken for them."""

import jax
import numpy as np
import pytest

from ai_library import CNN, Classifier, InputError, save_model


class Mirrored(CNN):
    """A network with the arguments and the weights of a `CNN`, which sees its images from behind."""

    def __call__(self, images, train, axis_name=None):
        return super().__call__(images[:, :, ::-1], train, axis_name)


def classifier_of(kind):
    model = kind(num_classes=3, features=(8,) * 5, dense=8)
    variables = jax.tree.map(np.array, model.initialise(0, (16, 16, 1)))
    variables["params"]["Dense_1"]["kernel"] *= 30  # fresh weights are all but undecided
    return Classifier(model, variables, ("dark", "grey", "light"), (16, 16, 1))


@pytest.mark.parametrize("count", [1, 100, 300])
def test_a_subclass_of_cnn_predicts_what_it_computes_however_few_the_images(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 1), np.uint8)
    mirrored, plain = classifier_of(Mirrored), classifier_of(CNN)
    np.testing.assert_allclose(
        mirrored.predict_proba(images), plain.predict_proba(images[:, :, ::-1].copy()), atol=1e-5
    )
    assert np.abs(mirrored.predict_proba(images) - plain.predict_proba(images)).max() > 0.01


def test_a_subclass_of_cnn_is_not_saved_as_a_cnn(tmp_path):
    with pytest.raises(InputError, match="Mirrored"):
        save_model(tmp_path / "model.msgpack", classifier_of(Mirrored))
    assert not list(tmp_path.iterdir())
