"""Whatever an npz file says, its images are read or it is refused, in little memory."""

import itertools
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ai_library import InputError
from ai_library.data.folders.samples import read_samples
from ai_library.tests.data.folders.npz_files import READER, header, is_read_or_refused, saved, write_archive

N = 3
WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

shapes = st.lists(st.integers(0, 6) | st.sampled_from([-1, 10**6, 2**63, 10**30, True]), max_size=9).map(tuple)
kinds = st.sampled_from(["|u1", "<i8", ">u2", "|O", "<f4", "|b1", "<m8[s]", "<U3", "|S0", "|V0", "nonsense", "(2,)u1"])
headers = st.builds(header, shapes | st.text(max_size=9), kinds, st.booleans(), st.sampled_from([1, 1, 1, 2, 3, 9]))
images = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=0, max_dims=5, max_side=N))
labels = arrays.arrays(arrays.integer_dtypes() | arrays.floating_dtypes(), N, elements=st.integers(0, 3))
whole = st.one_of(images, images.map(np.asfortranarray), labels, st.just(np.array([{}], object))).map(saved)
contents = st.one_of(whole, st.builds(bytes.__add__, headers, st.binary(max_size=99)), st.binary(max_size=99))
names = st.sampled_from(["images.npy", "labels.npy", "groups.npy"]) | st.text(max_size=9)


@pytest.mark.slow
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(names, contents, max_size=4),
    way=st.sampled_from(WAYS),
    damage=st.none() | st.tuples(st.integers(0, 2**16), st.binary(max_size=8)),
)
def test_any_archive_that_zipfile_writes_is_read_or_refused(tmp_path, members, way, damage):
    path = write_archive(tmp_path / "data.npz", {name or "x": content for name, content in members.items()}, way)
    if damage:
        data, (place, new) = bytearray(path.read_bytes()), damage
        place %= len(data)
        data[place : place + len(new)] = new
        path.write_bytes(data)
    is_read_or_refused(path)


@pytest.mark.slow
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(N, 9, 5), (N, 4, 4, 1), (N, 1, 9, 2), (N, 8, 8, 3), (N, 3, 2, 4)]),
    st.sampled_from(["<i8", ">u2", "|i1", "<u8"]),
    st.sampled_from("CF"),
    st.sampled_from(WAYS[:2]),
)
def test_arrays_as_numpy_writes_them_are_read_with_their_labels(tmp_path, shape, kind, order, way):
    pixels, truth = np.zeros(shape, np.uint8, order), np.array([2, 0, 1], kind)
    path = write_archive(tmp_path / "data.npz", {"labels.npy": saved(truth), "images.npy": saved(pixels)}, way)
    assert is_read_or_refused(path) == N
    assert [sample.label for sample in read_samples(path, READER)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (header(f"({'9' * 5000},)"), "a header that describes no array"),
        (header("(" * 4000), "a header that describes no array"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 65_535, "a header that describes no array"),
        (header((1,) * 60), "a shape that no array has"),
        (header((10**30, 1, 1)), "a shape that no array has"),
    ],
)
def test_what_numpy_says_of_a_header_is_not_repeated(tmp_path, images, message):
    path = write_archive(tmp_path / "data.npz", {"images.npy": images})
    with pytest.raises(InputError, match=f"its array 'images' has {message}"):
        read_samples(path, READER)
    assert is_read_or_refused(path) is None


def zeros(size):
    return itertools.repeat(bytes(10**6), size // 10**6)


HOGS = {
    "labels without images": (
        {"images.npy": header((10**7, 1, 1)), "labels.npy": [header((10**7,), "<i8"), *zeros(8 * 10**7)]},
        "its array 'images' ends too early",
    ),
    "images in Fortran's order": (
        {"images.npy": [header((10**5, 28, 28), by_columns=True), *zeros(78_400_000)]},
        "78,400,000 bytes of images in Fortran's order, of which 64,000,000 are the most",
    ),
    "an image of many pixels": ({"images.npy": header((1, 2**14, 2**14))}, "and at most 128,000,000 pixels"),
    "unpacked without bounds": ({"images.npy": [header((10**5, 28, 28)), *zeros(78_000_000)]}, "in another way than"),
    "parts without end": ({f"{i:05}.npy": b"" for i in range(20_000)}, "far more parts than an npz file"),
    "a long name": ({"x" * 60_000: b""}, "has no array 'images'"),
    "real ones": ({"images.npy": [header((10**7, 1, 1)), *zeros(10**7)],
                   "labels.npy": [header((10**7,), "<i8"), *zeros(8 * 10**7)]}, None),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("hog", HOGS)
def test_an_archive_takes_less_than_100_mb_whatever_it_unpacks_to(tmp_path, hog):
    members, message = HOGS[hog]
    way = zipfile.ZIP_BZIP2 if hog.startswith("unpacked") else zipfile.ZIP_DEFLATED
    path = write_archive(tmp_path / "data.npz", members, way)
    tracemalloc.start()
    if message:
        with pytest.raises(InputError, match=message):
            read_samples(path, READER)
    else:
        samples = list(itertools.islice(read_samples(path, READER), 1000))
        assert {sample.label for sample in samples} == {0}
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()
