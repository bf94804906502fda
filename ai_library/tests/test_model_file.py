"""A model file brings back the same model, and what is no model is named as such."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import flax.serialization
import jax
import msgpack
import numpy as np
import pytest

from ai_library import CNN, InputError, ModelFileError, load_model, save_model, sealed_file

ROOT = Path(__file__).resolve().parents[2]


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
    target.write_bytes(sealed(struct.pack("<8sII", magic, version, len(encoded)) + encoded + data[16 + length : -32]))
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


def test_temperature_comes_back_and_makes_the_probabilities(classifier, source, tmp_path):
    images, _ = source.examples("evaluation", range(50))
    save_model(tmp_path / "m.msgpack", dataclasses.replace(classifier, temperature=2.0))
    loaded = load_model(tmp_path / "m.msgpack")
    roots = dataclasses.replace(classifier, temperature=1.0).predict_proba(images) ** 0.5
    np.testing.assert_allclose(loaded.predict_proba(images), roots / roots.sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_file_of_version_1_is_read_without_a_temperature(classifier, model_path, tmp_path):
    def older(header):
        del header["temperature"]
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
    with pytest.raises(ModelFileError, match=r"none.msgpack cannot be read: No such file.*train_shapes.py"):
        load_model(tmp_path / "none.msgpack")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: 99, "has version 99 of its format, this code knows 2: update"),
        (lambda header: header["class_names"].append("blob"), "names 4 classes for 3 outputs"),
        (
            lambda header: header["architecture"].update(dense=8),
            r"BatchNorm_5/mean as float32\(32,\), but float32\(8,\) is wanted",
        ),
        (
            lambda header: header["architecture"].update(patch=2),
            r"Conv_0/kernel as float32\(3, 3, 16, 16\), but float32\(3, 3, 4, 16\) is wanted",
        ),
        (lambda header: header["architecture"].update(features=[1]), "does not describe a model"),
        (lambda header: header.pop("architecture"), "does not describe a model"),
        (lambda header: header["preprocessing"].update(offset=0.0), "other preprocessing"),
        (lambda header: header["preprocessing"].update(content_size=33), "other preprocessing"),
        (lambda header: header.pop("preprocessing"), "does not describe a model"),
        (lambda header: header.pop("metrics"), "does not describe a model"),
        (lambda header: header.update(class_names=["a", "a", "b"]), "not distinct"),
        (lambda header: header.update(image_shape=[4, 4, 1]), "does not describe a model"),
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
        ({"class_names": ("circle", "rec\ntangle", "star")}, "m.msgpack is not written.*no printable text"),
        ({"class_names": ("circle", "star", "star")}, "is not written.*not distinct"),
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


def sealed(body):
    """What precedes the digest, with a digest that fits."""
    return body + hashlib.sha256(body).digest()


def loads_as_it_says_or_is_refused(path, data):
    """Whether a file of these bytes loads. If so, it must be with the very weights and names that its bytes hold, as
    json and flax read them by themselves; no error but the one is let through."""
    path.write_bytes(data)
    try:
        classifier = load_model(path)
    except ModelFileError:
        return False
    length = struct.unpack_from("<8sII", data)[2]
    header = json.loads(data[16 : 16 + length])
    wanted = flax.serialization.msgpack_restore(data[16 + length : -32])
    assert jax.tree.structure(wanted) == jax.tree.structure(classifier.variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), wanted, classifier.variables))
    assert jax.tree.all(jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), wanted))
    assert list(classifier.class_names) == header["class_names"]
    assert classifier.metrics == header["metrics"]
    assert {**classifier.model.architecture(), **header["architecture"]} == json.loads(
        json.dumps(classifier.model.architecture())
    )
    return True


@pytest.mark.slow
def test_a_truncated_file_is_refused_wherever_it_ends(model_path, tmp_path):
    data = model_path.read_bytes()
    header_end = 16 + struct.unpack_from("<8sII", data)[2]
    places = np.random.default_rng(0).integers(header_end, len(data), 1000)
    for end in (*range(header_end), *places):
        assert not loads_as_it_says_or_is_refused(tmp_path / "m.msgpack", data[:end])


@pytest.mark.slow
def test_no_flipped_bit_goes_unnoticed(model_path, tmp_path):
    data = bytearray(model_path.read_bytes())
    rng = np.random.default_rng(1)
    for place, bit in zip(rng.integers(0, len(data), 10_000), rng.integers(0, 8, 10_000), strict=True):
        data[place] ^= 1 << bit
        assert not loads_as_it_says_or_is_refused(tmp_path / "m.msgpack", data)
        data[place] ^= 1 << bit


@pytest.mark.slow
def test_edits_under_a_fitting_digest_load_as_they_say_or_are_refused(model_path, tmp_path):
    """Half of the edits fall into the header and the first names and shapes, which are a small part of the file."""
    data = model_path.read_bytes()
    rng = np.random.default_rng(2)
    loaded = 0
    for trial in range(1000):
        body = bytearray(data[:-32])
        for _ in range(rng.integers(1, 4)):
            start, new = rng.integers(0, len(body) if trial % 2 else 4000), rng.bytes(rng.integers(1, 9))
            body[start : start + len(new) + (rng.integers(-2, 3) if trial % 4 == 3 else 0)] = new
        loaded += loads_as_it_says_or_is_refused(tmp_path / "m.msgpack", sealed(bytes(body)))
    assert 100 < loaded < 900


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\xc0",
        b"\x93\x01\x02\x03",
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\xdd\x00\x0f\xff\xff" * 500,  # lists in lists
        b"\x81\xa1a" * 2000,  # names in names
        b"\x81\xa1a" * 800 + b"\x80",
        msgpack.packb({str(i): {str(j): {} for j in range(60)} for i in range(60)}),
        msgpack.packb({"params": msgpack.ExtType(3, b"pickle")}),
        msgpack.packb({"params": msgpack.Timestamp(1)}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([2**62, 2], "float32", b"")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([-1], "float32", b"1234")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "object", b"12345678")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32", b"12345678")))}),
        msgpack.packb({"params": msgpack.ExtType(1, b"")}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32", b""))[:-2])}),
    ],
)
def test_weights_that_are_something_else_are_refused(model_path, tmp_path, weights):
    data = model_path.read_bytes()
    end = 16 + struct.unpack_from("<8sII", data)[2]
    (tmp_path / "m.msgpack").write_bytes(sealed(data[:end] + weights))
    with pytest.raises(ModelFileError, match=r"m.msgpack (holds something else|lacks|has )"):
        load_model(tmp_path / "m.msgpack")


@pytest.mark.parametrize(
    "change",
    [
        {"num_classes": 10**12},
        {"num_classes": 3.0},
        {"features": [2**40] * 5},
        {"features": "12345"},
        {"dense": True, "patch": None},
        {"name": "CNN"},
        {"\x1b[31m": 1},
    ],
)
def test_architectures_that_ask_for_too_much_are_refused(model_path, tmp_path, change):
    with pytest.raises(ModelFileError) as caught:
        load_model(rewritten(model_path, tmp_path / "m.msgpack", lambda header: header["architecture"].update(change)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", '{"metrics": NaN}', "[1]", "\udcff", "null"])
def test_headers_that_are_no_json_object_are_refused(model_path, tmp_path, text):
    data = model_path.read_bytes()
    header = text.encode("utf-8", "surrogateescape")
    (tmp_path / "m.msgpack").write_bytes(sealed(data[:12] + struct.pack("<I", len(header)) + header))
    with pytest.raises(ModelFileError, match="header that is no JSON"):
        load_model(tmp_path / "m.msgpack")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.msgpack")
    with pytest.raises(ModelFileError, match="pipe.msgpack is no regular file"):
        load_model(tmp_path / "pipe.msgpack")
    with pytest.raises(ModelFileError, match="is no regular file"):
        load_model(tmp_path)


def test_a_file_that_is_far_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "large.msgpack", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelFileError, match="is larger than"):
        load_model(tmp_path / "large.msgpack")


PEAK = """
import sys
from ai_library import CNN
from ai_library.tests.test_model_file import try_to_load
def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
CNN(num_classes=3).variable_shapes((32, 32, 1))
before = memory("VmRSS")
try_to_load(sys.argv[1])
print(memory("VmHWM") - before)
"""


def try_to_load(path):
    with contextlib.suppress(ModelFileError):
        load_model(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("hostile", ["", "header", "names", "nesting"])
def test_loading_takes_at_most_twice_the_files_size_and_100_mb(classifier, tmp_path, hostile):
    """A file of 134 MB, nearly all of it one array; and files that hold whatever makes the most of their bytes."""
    path = tmp_path / "m.msgpack"
    model = CNN(num_classes=3, dense=1024, patch=1)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), model.variable_shapes((64, 64, 1)))
    large = dataclasses.replace(classifier, model=model, variables=zeros, image_shape=(64, 64, 1))
    save_model(path, classifier if hostile else large)
    data = path.read_bytes()
    end = 16 + struct.unpack_from("<8sII", data)[2]
    if hostile == "header":
        header = b"[" + b"{}," * 600_000 + b"{}]"
        path.write_bytes(sealed(data[:12] + struct.pack("<I", len(header)) + header + data[end:-32]))
    elif hostile == "names":
        names = msgpack.packb({f"{i}": None for i in range(64)})
        path.write_bytes(sealed(data[:end] + (b"\xde\x00\x40" + (b"\xa1x" + names) * 64) * 400))
    elif hostile == "nesting":
        path.write_bytes(sealed(data[:end] + (b"\xdf\x00\x00\x00\x40" + b"\xa1x\xc0" * 63 + b"\xa1y") * 20_000))
    run = subprocess.run([sys.executable, "-c", PEAK, path], cwd=ROOT, check=True, capture_output=True, text=True)
    print(run.stdout, path.stat().st_size)
    assert int(run.stdout) < 2 * path.stat().st_size + 100e6
