"""A model file brings back the same model, and what is no model is named as such."""

import dataclasses
import hashlib
import json
import struct

import jax
import numpy as np
import pytest

from ai_library import ModelFileError, load_model, save_model


@pytest.fixture(scope="module")
def model_path(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "shapes.msgpack"
    save_model(path, classifier)
    return path


def rewritten(path, target, change):
    """A copy of a model file whose header went through `change`, with a digest that fits."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<8sII", data)
    header = json.loads(data[16 : 16 + length])
    version = change(header) or version
    encoded = json.dumps(header).encode()
    body = struct.pack("<8sII", magic, version, len(encoded)) + encoded + data[16 + length : -32]
    target.write_bytes(body + hashlib.sha256(body).digest())
    return target


def test_a_loaded_model_predicts_the_same_bits(classifier, source, model_path):
    loaded = load_model(model_path)
    images, _ = source.examples("evaluation", range(100))
    np.testing.assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    assert loaded.class_names == source.class_names
    assert loaded.image_shape == source.image_shape
    assert loaded.model == classifier.model
    assert loaded.metrics == json.loads(json.dumps(classifier.metrics))


def test_the_same_model_gives_the_same_bytes(classifier, model_path, tmp_path):
    save_model(tmp_path / "new" / "again.msgpack", classifier)
    assert (tmp_path / "new" / "again.msgpack").read_bytes() == model_path.read_bytes()


def test_content_size_comes_back(classifier, tmp_path):
    save_model(tmp_path / "model.msgpack", dataclasses.replace(classifier, content_size=20))
    assert load_model(tmp_path / "model.msgpack").content_size == 20


def test_header_tells_what_the_file_holds(model_path):
    data = model_path.read_bytes()
    length = struct.unpack_from("<8sII", data)[2]
    header = json.loads(data[16 : 16 + length])
    assert header["class_names"] == ["circle", "rectangle", "star"]
    assert header["preprocessing"] == {"scale": 1 / 127.5, "offset": -1.0, "content_size": None}
    assert header["architecture"]["features"] == [16, 16, 16, 32, 32]
    assert header["versions"].keys() == {"jax", "flax", "optax", "numpy"}


@pytest.mark.parametrize("at", [0, 9, 20, 200, 5000, -40, -1])
def test_a_changed_byte_is_found(model_path, tmp_path, at):
    data = bytearray(model_path.read_bytes())
    data[at] ^= 1
    broken = tmp_path / "broken.msgpack"
    broken.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"broken.msgpack (is|has) "):
        load_model(broken)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a model file"),
        (b"hello", "is not a model file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer.*git lfs pull"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, content, message):
    path = tmp_path / "other.msgpack"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_missing_file_is_named_with_the_mend(tmp_path):
    with pytest.raises(ModelFileError, match=r"none.msgpack cannot be read: No such file.*train_shapes.py"):
        load_model(tmp_path / "none.msgpack")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: 99, "has version 99 of the format, this code knows 1: update"),
        (lambda header: header["class_names"].append("blob"), "names 4 classes for 3 outputs"),
        (
            lambda header: header["architecture"].update(dense=8),
            r"BatchNorm_5/mean as float32\(32,\), the network as float32\(8,\)",
        ),
        (
            lambda header: header["architecture"].update(patch=2),
            r"Conv_0/kernel as float32\(3, 3, 16, 16\), the network as float32\(3, 3, 4, 16\)",
        ),
        (lambda header: header["architecture"].update(features=[1]), "does not describe a model"),
        (lambda header: header.pop("architecture"), "does not describe a model"),
        (lambda header: header["preprocessing"].update(offset=0.0), "other preprocessing"),
        (lambda header: header["preprocessing"].update(content_size=33), "other preprocessing"),
        (lambda header: header.pop("preprocessing"), "does not describe a model"),
        (lambda header: header.pop("metrics"), "does not describe a model"),
        (lambda header: header.update(class_names=["a", "a", "b"]), "no texts or not distinct"),
        (lambda header: header.update(image_shape=[4, 4, 1]), "does not describe a model"),
    ],
)
def test_a_header_that_does_not_fit_the_weights_is_refused(model_path, tmp_path, change, message):
    def changed(header):
        version = change(header)
        return version if isinstance(version, int) else None

    with pytest.raises(ModelFileError, match=message):
        load_model(rewritten(model_path, tmp_path / "changed.msgpack", changed))


def test_weights_that_are_no_numbers_are_refused(classifier, tmp_path):
    variables = jax.tree.map(np.array, classifier.variables)
    variables["params"]["Dense_1"]["bias"][1] = np.nan
    save_model(tmp_path / "nan.msgpack", dataclasses.replace(classifier, variables=variables))
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
