"""Networks of a user's own are used as they are: nothing that is proven for `CNN` alone is taken for them."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters.mlir import register_lowering

from ai_library import (
    CNN,
    NETWORKS,
    ArrayDataSource,
    Classifier,
    InputError,
    ModelFileError,
    ResNet,
    TrainConfig,
    Trainer,
    create_train_state,
    load_model,
    save_model,
)
from ai_library.networks.network import arguments, network_of
from ai_library.runtime import agreement
from ai_library.tests.memory import peak_bytes
from ai_library.tests.own_networks import OWN, Dropping, Linear, Mirrored, Stock, drawn, made

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SHAPE, NAMES = (16, 16, 1), ("dark", "grey", "light")


def classifier_of(kind):
    model = made(kind)
    variables = drawn(model, SHAPE)
    last = max((name for name in variables["params"] if name.startswith("Dense")), default=None)
    variables["params"][last]["kernel"] *= 30  # with smaller weights it would be all but undecided
    return Classifier(model, variables, NAMES, SHAPE)


def images_of(count):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), np.uint8)


def computed(classifier, images):
    """Probabilities by the network itself."""
    inputs = images.astype(np.float32) / 127.5 - 1
    apply = jax.jit(partial(classifier.model.apply, train=False))
    return np.asarray(jax.nn.softmax(apply(classifier.variables, inputs)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CNN, ResNet, *OWN])
def test_any_network_predicts_what_it_computes_however_many_the_images(kind):
    classifier = classifier_of(kind)
    images = images_of(300)
    wanted = computed(classifier, images)
    np.testing.assert_allclose(classifier.predict_proba(images), wanted, atol=1e-5)
    for count in (1, 100):
        np.testing.assert_allclose(classifier.predict_proba(images[:count]), wanted[:count], atol=1e-5)


@pytest.mark.slow
def test_a_subclass_of_cnn_is_told_from_a_cnn():
    mirrored, plain, images = classifier_of(Mirrored), classifier_of(CNN), images_of(20)
    assert np.abs(mirrored.predict_proba(images) - plain.predict_proba(images)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CNN, ResNet, *OWN])
def test_any_network_is_read_as_it_was_written(kind, tmp_path):
    classifier, path = classifier_of(kind), tmp_path / "model.msgpack"
    save_model(path, classifier)
    loaded = load_model(path, networks=OWN)
    assert type(loaded.model) is kind
    assert loaded.model == classifier.model
    for count in (1, 300):
        images = images_of(count)
        np.testing.assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    save_model(tmp_path / "again.msgpack", loaded)
    assert (tmp_path / "again.msgpack").read_bytes() == path.read_bytes()


def test_an_unknown_network_is_an_error_that_says_how_to_name_it(tmp_path):
    save_model(tmp_path / "model.msgpack", classifier_of(Stock))
    with pytest.raises(ModelFileError, match=r"network 'Stock', which is none of CNN, ResNet: .* networks=\[Stock\]\)"):
        load_model(tmp_path / "model.msgpack")
    with pytest.raises(ModelFileError, match="network 'Stock', which is none of CNN, ResNet, Linear"):
        load_model(tmp_path / "model.msgpack", networks=[Linear])


def test_another_class_of_the_name_is_refused_where_its_variables_are_others(tmp_path):
    save_model(tmp_path / "model.msgpack", classifier_of(Stock))
    other = type("Stock", (Linear,), {"__module__": __name__})
    with pytest.raises(ModelFileError, match="does not describe a model|has the unexpected|lacks"):
        load_model(tmp_path / "model.msgpack", networks=[other])


def mine(activation, p=0.1):
    """A network as its file has it before and after a change."""

    class Mine(nn.Module):
        num_classes: int

        @nn.compact
        def __call__(self, images, train):
            hidden = activation(nn.Dense(8)(images.reshape(len(images), -1)))
            return nn.Dense(self.num_classes)(nn.Dropout(p, deterministic=not train)(hidden))

    return Mine


@pytest.mark.slow
def test_a_class_whose_code_was_changed_since_is_told(tmp_path, monkeypatch):
    save_model(tmp_path / "model.msgpack", classifier_of(mine(nn.relu)))
    load_model(tmp_path / "model.msgpack", networks=[mine(nn.relu)])
    load_model(tmp_path / "model.msgpack", networks=[mine(nn.relu, p=0.5)])  # for training alone
    with pytest.warns(UserWarning, match=r"model.msgpack was saved when the code of Mine computed something else"):
        load_model(tmp_path / "model.msgpack", networks=[mine(nn.gelu)])
    # Another version may write the same program in another way: nothing can be told.
    versions = agreement.code_version()
    monkeypatch.setattr(agreement, "code_version", lambda: {**versions, "jax": "9"})
    load_model(tmp_path / "model.msgpack", networks=[mine(nn.gelu)])


def test_a_network_for_an_accelerator_alone_is_saved_and_read(tmp_path):
    gpu = Primitive("only_on_a_gpu")
    gpu.def_abstract_eval(lambda x: x)
    register_lowering(gpu, lambda context, x: [x], platform="cuda")
    model = mine(gpu.bind)(num_classes=3)
    variables = drawn(mine(nn.relu)(num_classes=3), SHAPE)
    save_model(tmp_path / "model.msgpack", Classifier(model, variables, NAMES, SHAPE))
    load_model(tmp_path / "model.msgpack", networks=[mine(gpu.bind)])


def test_a_class_of_ones_own_needs_a_name_of_its_own(tmp_path):
    own = type("CNN", (Linear,), {"__module__": __name__})
    with pytest.raises(InputError, match="a name of its own, but .*CNN shares it"):
        save_model(tmp_path / "model.msgpack", classifier_of(own))
    with pytest.raises(InputError, match="a name of its own"):
        load_model(tmp_path / "model.msgpack", networks=[own])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_argument_that_json_cannot_hold_is_refused_unless_it_is_the_default(tmp_path):
    variables = classifier_of(Dropping).variables
    with pytest.raises(InputError, match="Dropping.activation must be a number, a text"):
        save_model(tmp_path / "m.msgpack", Classifier(Dropping(3, activation=nn.relu), variables, NAMES, SHAPE))
    assert arguments(Dropping(3)) == {"num_classes": 3, "rate": 0.5}
    assert network_of(Stock, arguments(Stock(3, (5, 6)))) == Stock(3, (5, 6))


def test_weights_of_other_types_come_back(tmp_path):
    classifier = classifier_of(Linear)
    halved = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), classifier.variables)
    with pytest.raises(InputError, match="bfloat16.* but float32.* is wanted"):  # the network itself makes float32
        save_model(tmp_path / "m.msgpack", Classifier(Linear(3), halved, NAMES, SHAPE))


@pytest.mark.slow
def test_features_are_what_the_last_dense_layer_takes():
    for kind in (CNN, ResNet, Stock, Dropping):
        classifier = classifier_of(kind)
        features = classifier.features(images_of(130))
        last = max(name for name in classifier.variables["params"] if name.startswith("Dense"))
        dense = classifier.variables["params"][last]
        logits = features @ dense["kernel"] + dense["bias"]
        assert features.dtype == np.float32
        np.testing.assert_allclose(
            classifier.probabilities(logits), classifier.predict_proba(images_of(130)), atol=1e-5
        )
        assert classifier.features(images_of(0)).shape == (0, features.shape[1])


class TwoHeads(nn.Module):
    """The head that is called last is not the one that is returned, as in training with an auxiliary loss."""

    num_classes: int
    scaled: bool = False

    @nn.compact
    def __call__(self, images, train):
        wide = nn.Dense(8)(images.reshape(len(images), -1))
        narrow = nn.Dense(5)(wide)
        logits = nn.Dense(self.num_classes)(narrow)
        nn.Dense(self.num_classes)(wide)
        return nn.log_softmax(3 * logits) if self.scaled else logits


@pytest.mark.slow
def test_features_are_those_of_the_layer_that_gives_the_logits_or_there_are_none():
    def classifier(model):
        return Classifier(model, drawn(model, SHAPE), NAMES, SHAPE)

    assert classifier(TwoHeads(3)).features(images_of(4)).shape == (4, 5)
    with pytest.raises(InputError, match="in TwoHeads none gives the logits"):
        classifier(TwoHeads(3, scaled=True)).features(images_of(4))


def test_a_score_takes_one_label_for_each_image():
    classifier, images = classifier_of(Linear), images_of(6)
    labels = classifier.predict(images)
    assert classifier.score(images, labels) == 1
    names = np.array(classifier.class_names)[labels]
    for wrong in (labels[:, None], labels[:1], names, np.eye(3)[labels], labels + 3, labels.astype(float)):
        with pytest.raises(InputError, match="labels must be"):
            classifier.score(images, wrong)


def test_the_librarys_networks_are_known_by_name():
    assert dict(NETWORKS) == {"CNN": CNN, "ResNet": ResNet}
    with pytest.raises(TypeError):
        NETWORKS["Mine"] = Linear


class Averaging(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(self.num_classes)(images.mean(axis=(1, 2)))


@pytest.mark.slow
def test_large_images_are_predicted_few_at_a_time():
    """Of 2048x2048 pixels with 4 channels, 17 MB each, 128 would be 2 GB."""
    shape = (2048, 2048, 4)
    model = Averaging(3)
    classifier = Classifier(model, drawn(model, shape), NAMES, shape)
    assert classifier.block == 4
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    found = []
    assert peak_bytes(lambda: found.append(classifier.predict_proba(images))) < 300e6
    np.testing.assert_array_equal(found[0][:1], classifier.predict_proba(images[:1]))


@pytest.mark.parametrize(("side", "block"), [(64, 128), (724, 128), (725, 64), (4096, 4)])
def test_a_block_is_as_large_as_images_allow(side, block):
    assert Classifier(CNN(num_classes=3), {}, NAMES, (side, side, 1)).block == block


class Deaf(nn.Module):
    """A network whose layer does not hear whether it is trained."""

    layer: nn.Module
    widths: object = ()

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(3)(self.layer(images.reshape(len(images), -1)))


class Numbers:
    """What a network reads, and how often it was traced."""

    factor, traces = 1.0, 0


class Reading(nn.Module):
    """Multiplies by a number that may change."""

    numbers: object

    @nn.compact
    def __call__(self, images, train):
        self.numbers.traces += 1
        return self.numbers.factor * nn.Dense(3)(images.reshape(len(images), -1))


def test_a_classifier_computes_what_its_network_reads_when_it_is_first_used_and_is_traced_once():
    numbers, images = Numbers(), images_of(5)
    variables = drawn(Reading(numbers), SHAPE)
    first, second = (Classifier(Reading(numbers), variables, NAMES, SHAPE) for _ in range(2))
    logits = np.concatenate([*first.predict_logits([images])])
    traces, numbers.factor = numbers.traces, 3.0
    for classifier in (first, dataclasses.replace(first, temperature=2.0)):
        np.testing.assert_array_equal(np.concatenate([*classifier.predict_logits([images])]), logits)
    assert numbers.traces == traces
    np.testing.assert_allclose(np.concatenate([*second.predict_logits([images])]), 3 * logits, rtol=1e-5)


def begin_of_trainer(network):
    source = ArrayDataSource(train=(images_of(8), np.arange(8) % 3), validation=(images_of(8), np.arange(8) % 3))
    Trainer(network, source, run_dir=False)


def begin_of_state(network):
    create_train_state(network, SHAPE, TrainConfig(), 9)


@pytest.mark.parametrize("begin", [begin_of_trainer, begin_of_state])
@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.5, deterministic=False), nn.BatchNorm(use_running_average=False)], ids=["dropout", "norm"]
)
def test_a_network_that_ignores_train_is_named_before_a_run(layer, begin):
    with pytest.raises(InputError, match="with train=False Deaf must not need random numbers or change its state"):
        begin(Deaf(layer))


@pytest.mark.parametrize("begin", [begin_of_trainer, begin_of_state])
@pytest.mark.parametrize(("widths", "kind"), [([8, 8], "list"), (np.ones(2), "ndarray")])
def test_a_network_that_cannot_be_hashed_is_named_before_a_run(widths, kind, begin):
    with pytest.raises(InputError, match=f"Deaf must be hashable, but widths is a {kind}: use a tuple"):
        begin(Deaf(nn.Dense(4), widths))
