"""A damaged or hostile file loads as what its bytes say or is refused, in little memory and at once."""

import dataclasses
import os
import struct
from pathlib import Path

import jax
import msgpack
import numpy as np
import pytest

from ai_library import CNN, ModelFileError, load_model, save_model
from ai_library.tests.model_files import (
    loads_as_it_says_or_is_refused,
    peaks_of_loading,
    rewritten,
    sealed,
    small_classifier,
)


@pytest.fixture(scope="module")
def small_path(tmp_path_factory):
    """A model file that no test changes. A small one is read many times in little time, and a larger part of it hit."""
    path = tmp_path_factory.mktemp("small") / "m.msgpack"
    save_model(path, small_classifier(fill=0.5))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 9, 20, 200, 5000, -40, -1])
def test_a_changed_byte_is_found(small_path, tmp_path, at):
    data = bytearray(small_path.read_bytes())
    data[at] ^= 1
    broken = tmp_path / "broken.msgpack"
    broken.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"broken.msgpack (is|has) "):
        load_model(broken)


@pytest.mark.slow
def test_a_truncated_file_is_refused_wherever_it_ends(small_path, tmp_path):
    data = small_path.read_bytes()
    header_end = 16 + struct.unpack_from("<8sII", data)[2]
    places = np.random.default_rng(0).integers(header_end, len(data), 1000)
    for end in (*range(header_end), *places):
        assert not loads_as_it_says_or_is_refused(tmp_path / "m.msgpack", data[:end])


@pytest.mark.slow
def test_no_flipped_bit_goes_unnoticed(small_path, tmp_path):
    data = bytearray(small_path.read_bytes())
    rng = np.random.default_rng(1)
    for place, bit in zip(rng.integers(0, len(data), 3000), rng.integers(0, 8, 3000), strict=True):
        data[place] ^= 1 << bit
        assert not loads_as_it_says_or_is_refused(tmp_path / "m.msgpack", data)
        data[place] ^= 1 << bit


@pytest.mark.slow
def test_edits_under_a_fitting_digest_load_as_they_say_or_are_refused(small_path, tmp_path):
    """Half of the edits fall into the header and the first names and shapes, which are a small part of the file."""
    data = small_path.read_bytes()
    rng = np.random.default_rng(2)
    loaded = 0
    for trial in range(1000):
        body = bytearray(data[:-32])
        for _ in range(rng.integers(1, 4)):
            start, new = rng.integers(0, len(body) if trial % 2 else 2000), rng.bytes(rng.integers(1, 9))
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
        msgpack.packb({b"": {}, "params": {}}),
        msgpack.packb({"params": {"Dense_0": {"kernel": 1.5}}}),
        msgpack.packb({"params": "text"}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([2**62, 2], "float32", b"")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([-1], "float32", b"1234")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "object", b"12345678")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32", b"12345678")))}),
        msgpack.packb({"params": msgpack.ExtType(1, b"")}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32")))}),
        msgpack.packb({"params": msgpack.ExtType(1, msgpack.packb(([1], "float32", b""))[:-2])}),
    ],
)
def test_weights_that_are_something_else_are_refused(small_path, tmp_path, weights):
    data = small_path.read_bytes()
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
def test_architectures_that_ask_for_too_much_are_refused(small_path, tmp_path, change):
    with pytest.raises(ModelFileError) as caught:
        load_model(
            rewritten(small_path, tmp_path / "m.msgpack", lambda header: header["network"]["arguments"].update(change))
        )
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", '{"metrics": NaN}', "[1]", "\udcff", "null"])
def test_headers_that_are_no_json_object_are_refused(small_path, tmp_path, text):
    data = small_path.read_bytes()
    header = text.encode("utf-8", "surrogateescape")
    (tmp_path / "m.msgpack").write_bytes(sealed(data[:12] + struct.pack("<I", len(header)) + header))
    with pytest.raises(ModelFileError, match="header that is not (a )?JSON"):
        load_model(tmp_path / "m.msgpack")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.msgpack")
    with pytest.raises(ModelFileError, match="pipe.msgpack is not a regular file"):
        load_model(tmp_path / "pipe.msgpack")
    with pytest.raises(ModelFileError, match="is not a regular file"):
        load_model(tmp_path)


def test_a_file_that_is_far_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "large.msgpack", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelFileError, match="is larger than"):
        load_model(tmp_path / "large.msgpack")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_loading_takes_at_most_twice_the_files_size_and_100_mb(small_path, tmp_path):
    """A file of 134 MB, nearly all of it one array; and files that hold whatever makes the most of their bytes."""
    model = CNN(num_classes=3, dense=1024, patch=1)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), model.variable_shapes((64, 64, 1)))
    large = dataclasses.replace(small_classifier("abc"), network=model, variables=zeros, image_shape=(64, 64, 1))
    save_model(tmp_path / "large", large)
    data = small_path.read_bytes()
    end = 16 + struct.unpack_from("<8sII", data)[2]
    header = b"[" + b"{}," * 600_000 + b"{}]"
    names = msgpack.packb({f"{i}": None for i in range(64)})
    hostile = {
        "header": data[:12] + struct.pack("<I", len(header)) + header + data[end:-32],
        "names": data[:end] + (b"\xde\x00\x40" + (b"\xa1x" + names) * 64) * 400,
        "nesting": data[:end] + (b"\xdf\x00\x00\x00\x40" + b"\xa1x\xc0" * 63 + b"\xa1y") * 20_000,
    }
    for name, body in hostile.items():
        (tmp_path / name).write_bytes(sealed(body))
    paths = [tmp_path / "large", *(tmp_path / name for name in hostile)]
    for path, peak in zip(paths, peaks_of_loading(paths), strict=True):
        assert peak < 2 * path.stat().st_size + 100e6, path
