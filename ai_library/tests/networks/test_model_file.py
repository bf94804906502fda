"""A model file brings back the same model, and what is no model is named as such."""

import dataclasses
import errno
import json
import os
import struct

import flax.serialization
import jax
import numpy as np
import pytest

from ai_library import InputError, ModelFileError, load_model, save_model
from ai_library.files import sealed_file
from ai_library.tests.model_files import rewritten, sealed


@pytest.mark.slow
def test_a_loaded_model_predicts_the_same_bits(classifier, source, tmp_path):
    classifier = dataclasses.replace(classifier, metrics={"validation": {"validation_accuracy": 0.5, "epoch": 1}})
    save_model(tmp_path / "m.msgpack", classifier)
    loaded = load_model(tmp_path / "m.msgpack")
    images, _ = source.examples("evaluation", range(100))
    np.testing.assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    assert loaded.class_names == source.class_names
    assert loaded.image_shape == source.image_shape
    assert loaded.model == classifier.model
    assert loaded.metrics == classifier.metrics


def test_the_same_model_gives_the_same_bytes(classifier, model_path, tmp_path):
    save_model(tmp_path / "new" / "again.msgpack", classifier)
    assert (tmp_path / "new" / "again.msgpack").read_bytes() == model_path.read_bytes()


def test_content_size_comes_back(classifier, tmp_path):
    save_model(tmp_path / "model.msgpack", dataclasses.replace(classifier, content_size=20))
    assert load_model(tmp_path / "model.msgpack").content_size == 20


def test_temperature_comes_back_and_makes_the_probabilities(classifier, source, tmp_path):
    images, _ = source.examples("evaluation", range(50))
    save_model(tmp_path / "m.msgpack", dataclasses.replace(classifier, temperature=2.0))
    loaded = load_model(tmp_path / "m.msgpack")
    roots = dataclasses.replace(classifier, temperature=1.0).predict_proba(images) ** 0.5
    np.testing.assert_allclose(loaded.predict_proba(images), roots / roots.sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_file_of_version_1_is_read_without_a_temperature(classifier, model_path, tmp_path):
    def older(header):
        del header["temperature"]
        header["architecture"] = header.pop("network")["arguments"]
        return 1

    loaded = load_model(rewritten(model_path, tmp_path / "old.msgpack", older))
    assert loaded.temperature == 1.0
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded.variables, classifier.variables))


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e9, "1", None])
def test_a_temperature_that_no_fit_gives_is_refused(model_path, tmp_path, temperature):
    with pytest.raises(ModelFileError, match="has a temperature of|temperature is no float"):
        load_model(rewritten(model_path, tmp_path / "m.msgpack", lambda header: header.update(temperature=temperature)))


def test_header_tells_what_the_file_holds(model_path):
    data = model_path.read_bytes()
    length = struct.unpack_from("<8sII", data)[2]
    header = json.loads(data[16 : 16 + length])
    assert header["class_names"] == ["circle", "rectangle", "star"]
    assert header["preprocessing"] == {"scale": 1 / 127.5, "offset": -1.0, "content_size": None}
    assert header["network"]["name"] == "CNN"
    assert header["network"]["arguments"]["features"] == [16, 16, 16, 32, 32]
    assert header["versions"].keys() == {"jax", "flax", "optax", "numpy"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a model: fetch it"),
        (b"hello", "is not a model: fetch it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer.*git lfs pull"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, content, message):
    path = tmp_path / "other.msgpack"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_missing_file_is_named_with_the_mend(tmp_path):
    with pytest.raises(ModelFileError, match=r"none.msgpack cannot be read: No such file.*train one"):
        load_model(tmp_path / "none.msgpack")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: 99, "has version 99 of its format, this code knows 3: update"),
        (lambda header: header["class_names"].append("blob"), "names 4 classes for 3 outputs"),
        (
            lambda header: header["network"]["arguments"].update(dense=8),
            r"BatchNorm_5/mean as float32\(32,\), but float32\(8,\) is wanted",
        ),
        (
            lambda header: header["network"]["arguments"].update(patch=2),
            r"Conv_0/kernel as float32\(3, 3, 16, 16\), but float32\(3, 3, 4, 16\) is wanted",
        ),
        (lambda header: header["network"]["arguments"].update(features=[1]), "does not describe a model"),
        (lambda header: header.pop("network"), "does not describe a model"),
        (lambda header: header["network"].update(name=7), "does not describe a model"),
        (lambda header: header["network"].update(name="Mine"), r"network 'Mine', .* networks=\[Mine\]"),
        (lambda header: header["network"].update(name="ResNet"), "does not describe a model"),
        (lambda header: header["preprocessing"].update(offset=0.0), "other preprocessing"),
        (lambda header: header["preprocessing"].update(content_size=33), "other preprocessing"),
        (lambda header: header.pop("preprocessing"), "does not describe a model"),
        (lambda header: header.pop("metrics"), "does not describe a model"),
        (
            lambda header: header.update(class_names=["a", "a", "b"]),
            "class names .* each once, got 'a' twice",
        ),
        (lambda header: header.update(image_shape=[0, 4, 1]), "does not describe a model"),
    ],
)
def test_a_header_that_does_not_fit_the_weights_is_refused(model_path, tmp_path, change, message):
    def changed(header):
        version = change(header)
        return version if isinstance(version, int) else None

    with pytest.raises(ModelFileError, match=message):
        load_model(rewritten(model_path, tmp_path / "changed.msgpack", changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": ("circle", "rec\ntangle", "star")}, "m.msgpack is not written.*must be printable text"),
        ({"class_names": ("circle", "star", "star")}, "is not written.*each once, got 'star' twice"),
        ({"temperature": 0.0}, "is not written.*temperature of 0"),
        ({"content_size": 64}, "is not written.*other preprocessing"),
        ({"metrics": {"accuracy": np.float32(0.5)}}, "m.msgpack cannot hold.*float32"),
        ({"metrics": {"accuracy": float("nan")}}, "m.msgpack cannot hold figures that are not finite"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(classifier, tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        save_model(tmp_path / "m.msgpack", dataclasses.replace(classifier, **changed))
    assert not list(tmp_path.iterdir())


def test_class_names_of_all_scripts_and_a_whole_number_as_temperature_come_back(classifier, tmp_path):
    joined, apart, kept_together = "\u0915\u094d\u200d\u0937", "\u0646\u0645\u06cc\u200c\u062f", "a\u00a0b"
    names = (joined, apart, kept_together)
    save_model(tmp_path / "m.msgpack", dataclasses.replace(classifier, class_names=names, temperature=2))
    loaded = load_model(tmp_path / "m.msgpack")
    assert (loaded.class_names, loaded.temperature) == (names, 2.0)


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(model_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(sealed_file, "open", fails, raising=False)
    with pytest.raises(ModelFileError, match=r"cannot be read: Input/output error: make it readable, or try again"):
        load_model(model_path)


def test_weights_that_are_no_numbers_are_refused(classifier, model_path, tmp_path):
    variables = jax.tree.map(np.array, classifier.variables)
    variables["params"]["Dense_1"]["bias"][1] = np.nan
    with pytest.raises(InputError, match="not written.*params/Dense_1/bias that are not finite"):
        save_model(tmp_path / "nan.msgpack", dataclasses.replace(classifier, variables=variables))
    data = model_path.read_bytes()
    end = 16 + struct.unpack_from("<8sII", data)[2]
    (tmp_path / "nan.msgpack").write_bytes(sealed(data[:end] + flax.serialization.to_bytes(variables)))
    with pytest.raises(ModelFileError, match="params/Dense_1/bias that are not finite"):
        load_model(tmp_path / "nan.msgpack")


def test_a_failed_write_leaves_the_old_file(classifier, model_path, tmp_path, monkeypatch):
    target = tmp_path / "model.msgpack"
    target.write_bytes(model_path.read_bytes())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ValueError, match=r"cannot write .*model.msgpack: No space left"):
        save_model(target, classifier)
    assert target.read_bytes() == model_path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]
