"""Images of a file, a folder or an npz file are read one by one, and what cannot be read is named."""

import itertools
import shutil
import unicodedata
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ai_library import InputError
from ai_library.data.folders import samples
from ai_library.data.folders.layout import find_layout
from ai_library.data.folders.samples import group_numbers, read_samples
from ai_library.tests.data.folders.image_folders import draw_folder
from ai_library.tests.data.folders.npz_files import header
from ai_library.tests.memory import peak_bytes

READER = SimpleNamespace(
    class_names=("circle", "rectangle", "star"), image_shape=(32, 32, 1), content_size=None, block=128
)
N = 7
IMAGES, LABELS = np.random.default_rng(0).integers(0, 256, (N, 32, 32, 1), np.uint8), np.arange(N) % 3


@pytest.fixture
def folder(tmp_path):
    """The images as PNG files in sub-folders named like their classes."""
    for index, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        path = tmp_path / "images" / READER.class_names[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path)
    return tmp_path / "images"


def test_a_folder_gives_its_images_with_their_labels_in_the_order_of_their_names(folder):
    (folder / "star/broken.png").write_text("no image")
    *whole, broken = read_samples(folder, READER)
    assert [sample.name for sample in whole] == [
        f"{READER.class_names[label]}/{index}.png" for label in range(3) for index in range(label, N, 3)
    ]
    for sample in whole:
        index = int(sample.name.split("/")[1][0])
        assert sample.label == LABELS[index]
        np.testing.assert_array_equal(sample.image, IMAGES[index])
    assert broken == ("star/broken.png", 2, None, "not an image, or of an unknown format", (), None)


def test_one_file_is_one_image_without_a_label(folder):
    (sample,) = read_samples(folder / "circle/0.png", READER)
    assert (sample.name, sample.label) == ("0.png", None)
    np.testing.assert_array_equal(sample.image, IMAGES[0])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_1_to_4_channels_are_fitted(tmp_path, channels):
    np.savez(tmp_path / "data.npz", images=np.full((2, 9, 20, channels), 255, np.uint8))
    for wanted in (1, 2, 3, 4):
        reader = SimpleNamespace(**vars(READER) | {"image_shape": (16, 12, wanted)})
        for sample in read_samples(tmp_path / "data.npz", reader):
            np.testing.assert_array_equal(sample.image, 255)


def test_arrays_of_any_order_and_compression_give_the_same(tmp_path):
    images, labels = IMAGES, LABELS
    np.savez(tmp_path / "plain.npz", images=images, labels=labels)
    np.savez_compressed(tmp_path / "other.npz", images=np.asfortranarray(images), labels=labels.astype(">u8"))
    plain, other = (list(read_samples(tmp_path / name, READER)) for name in ("plain.npz", "other.npz"))
    for one, two, image, label in zip(plain, other, images, labels, strict=True):
        assert one.label == two.label == label
        np.testing.assert_array_equal(one.image, image)
        np.testing.assert_array_equal(two.image, image)


def test_the_groups_of_arrays_are_told_and_can_be_left_out(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, images=IMAGES[:4], labels=LABELS[:4], groups=[7, -1, 7, 2])
    samples = read_samples(path, READER)
    assert [sample.group for sample in samples] == ["7", "-1", "7", "2"]
    assert samples.notes == (
        f"images of one number in the array 'groups' of {path} are a group, and intervals account for it",
    )
    for how in ({"groups": False}, {"unlabelled": True}):
        alone = read_samples(path, READER, **how)
        assert [sample.group for sample in alone] == [None] * 4
        assert alone.notes == ()
    np.savez(path, images=IMAGES[:4], labels=LABELS[:4], groups=np.array(["a", "b", "a", "c"]))
    with pytest.raises(InputError, match=r"must have groups of integers of shape \(4,\), got <U1"):
        read_samples(path, READER)


def test_arrays_that_are_not_read_are_told(tmp_path):
    np.savez(tmp_path / "data.npz", images=IMAGES[:2], y=LABELS[:2], film=[0, 1])
    samples = read_samples(tmp_path / "data.npz", READER)
    assert [sample.label for sample in samples] == [None] * 2
    (note,) = samples.notes
    assert note.endswith("only arrays named images, labels and groups are read, not film, y")


def test_labels_of_arrays_may_be_ignored(tmp_path):
    np.savez(tmp_path / "data.npz", images=IMAGES[:2], labels=[7, 8])
    assert [sample.label for sample in read_samples(tmp_path / "data.npz", READER, unlabelled=True)] == [None] * 2


def test_what_lies_beside_the_folder_of_a_zip_is_no_sub_folder(tmp_path):
    shutil.copytree(draw_folder(tmp_path / "all" / "photos", {"x": 2}) / "x", tmp_path / "packed/photos")
    (tmp_path / "packed/README.txt").write_text("These are photos.")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "packed")
    assert [sample.name for sample in read_samples(tmp_path / "packed.zip", READER)] == ["000000.png", "000001.png"]


@pytest.mark.slow
def test_arrays_larger_than_the_memory_are_read_in_parts(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", images=np.zeros((1_500, 256, 256), np.uint8))  # 98 MB

    def read():
        for sample in itertools.islice(read_samples(tmp_path / "zeros.npz", READER), 300):
            assert sample.image.shape == READER.image_shape

    assert peak_bytes(read) < 80e6


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (header((10**15, 28, 28)), None, "data.npz cannot be read as .npz: its array 'images' ends too early"),
        (header((10**15, 1, 1)), header((10**15,), "<i8"), "its array 'labels' ends too early"),
        (header((10**9, 28, 28), by_columns=True), None, "784,000,000,000 bytes of images in Fortran's order"),
        (header((1, 10**6, 10**6)), None, "1,000,000 x 1,000,000 pixels, and at most 128,000,000"),
        (header((-1, 28, 28)), None, r"holds no images: their shape is \(-1, 28, 28\)"),
        (header((2, 28, 28), version=2), None, "format version"),
        (header((2, 28, 28)), header((2,), "|O"), "pickled Python objects, which are never loaded"),
        (header((2, 28, 28)), header((2,), "<m8[s]"), r"labels of integers of shape \(2,\), got timedelta64"),
        (header((2, 28, 28))[:-20], None, "cannot be read as .npz"),
        (header("nonsense"), None, "cannot be read as .npz"),
    ],
)
def test_arrays_that_promise_more_than_they_hold_are_refused(tmp_path, images, labels, message):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("images.npy", images)
        if labels:
            archive.writestr("labels.npy", labels)
    with pytest.raises(InputError, match=message):
        list(read_samples(tmp_path / "data.npz", READER))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((1, 32, 32), np.uint8)}, "has no array 'images', but pictures: save it"),
        ({"images": np.full((1, 32, 32), np.nan, np.float32)}, r"must have images uint8 .*, got float32 \(1, 32, 32\)"),
        ({"images": np.zeros((1, 32, 32), np.uint16)}, r"got uint16 \(1, 32, 32\)"),
        ({"images": np.zeros((1, 32, 32, 5), np.uint8)}, "of 1 to 4 channels, got uint8"),
        ({"images": np.zeros((1, 1, 32, 32, 3), np.uint8)}, "must have images uint8"),
        ({"images": np.zeros((32, 32), np.uint8)}, "must have images uint8"),
        ({"images": np.zeros((0, 32, 32), np.uint8)}, "holds no images"),
        (
            {"images": np.zeros((2, 32, 32), np.uint8), "labels": np.array([0])},
            r"labels of integers of shape \(2,\), got int64 \(1,\)",
        ),
        (
            {"images": np.zeros((2, 32, 32), np.uint8), "labels": np.array([0, 7])},
            "labels from 0 to 7, but .* by unlabelled",
        ),
        (
            {"images": np.zeros((1, 32, 32), np.uint8), "labels": np.array([0.0])},
            r"of integers of shape \(1,\), got float64",
        ),
        ({"images": np.array([{}], dtype=object)}, "cannot be read as .npz: it holds pickled Python objects"),
        (b"PK\x03\x04 not an archive", "cannot be read as .npz"),
        (b"\x93NUMPY\x01\x00", "cannot be read as .npz"),
    ],
)
def test_arrays_of_another_kind_are_named(tmp_path, arrays, message):
    if isinstance(arrays, bytes):
        (tmp_path / "data.npz").write_bytes(arrays)
    else:
        np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_samples(tmp_path / "data.npz", READER)


def test_sub_folders_may_be_no_labels(folder):
    (folder / "star").rename(folder / "2024-01")
    with pytest.raises(InputError, match="sub-folder '2024-01', .* or predict the images without labels by unlabelled"):
        read_samples(folder, READER)
    samples = read_samples(folder, READER, unlabelled=True)
    assert samples.total == N
    assert {(sample.name.split("/")[0], sample.label) for sample in samples} == {
        (name, None) for name in ("2024-01", "circle", "rectangle")
    }


PLACES = st.lists(st.sampled_from(["", "a", "b", "a/x", "a/y", "b/x", "\u00e9", "e\u0301"]), max_size=6)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(PLACES, PLACES, PLACES))
@example(([], [], ["\u00e9", "e\u0301"]))
def test_groups_are_those_that_a_training_on_the_folder_keeps_together(tmp_path, places):
    folder = tmp_path / "groups"
    shutil.rmtree(folder, ignore_errors=True)
    for name, its in zip(READER.class_names, places, strict=True):
        draw_folder(folder, {f"{name}/{place}": its.count(place) for place in its} or {name: 1})
    samples = list(read_samples(folder, READER))
    wanted = {
        file.path.relative_to(folder).as_posix(): file.group.removesuffix("/") if file.group.endswith("/") else None
        for file in find_layout(folder).files
    }

    def together(groups):
        """The names of images that share a group, as sets."""
        names = {group: frozenset(name for name in groups if groups[name] == group) for group in groups.values()}
        return {frozenset(each) for group, each in names.items() if group is not None}

    assert together({sample.name: sample.group for sample in samples}) == together(wanted)


def test_of_one_image_only_one_process_reads_it(folder, monkeypatch):
    monkeypatch.setattr(samples, "shard", lambda n, block: range(n, n))  # as another process has it
    assert list(read_samples(folder / "circle/0.png", READER)) == []


def test_groups_are_told_and_can_be_left_out(folder):
    for name in ("circle", "star"):
        for index, path in enumerate(sorted((folder / name).iterdir())):
            (folder / name / "film" / str(index % 2)).mkdir(parents=True, exist_ok=True)
            path.rename(folder / name / "film" / str(index % 2) / path.name)
    samples = read_samples(folder, READER)
    found = [sample.group for sample in samples]
    assert found == [*["circle/film/0"] * 2, "circle/film/1", None, None, "star/film/0", "star/film/1"]
    assert samples.notes == ("4 sub-folders of classes: the images of each are a group, and intervals account for it",)
    assert group_numbers(found).tolist() == [0, 0, 1, 2, 3, 4, 5]
    for how in ({"groups": False}, {"unlabelled": True}):
        samples = read_samples(folder, READER, **how)
        assert (samples.notes, [*{sample.group for sample in samples}]) == ((), [None])
    assert group_numbers([None, None]) is None


def test_class_names_that_look_alike_are_alike(folder):
    names = (unicodedata.normalize("NFD", "ch\u00e8vre"), "rectangle", "star")
    (folder / "circle").rename(folder / unicodedata.normalize("NFC", names[0]))
    reader = SimpleNamespace(**vars(READER) | {"class_names": names})
    assert sorted(sample.label for sample in read_samples(folder, reader)) == sorted(LABELS)


@pytest.mark.parametrize(
    ("names", "labels", "wanted", "note"),
    [
        (("0", "1", "2"), [0, 1, 2], [0, 1, 2], None),
        (("1", "10", "2"), [1, 2, 10], [0, 2, 1], "for the names of classes"),
        (("01", "02", "03"), [3, 1, 1], [2, 0, 0], "for the names of classes"),
        (("1", "10", "2"), [0, 1, 2], [0, 1, 2], "for the numbers of classes"),
        (("cat", "10", "2"), [2, 1, 0], [2, 1, 0], None),
    ],
)
def test_numbers_that_are_names_of_classes_mean_these(tmp_path, names, labels, wanted, note):
    np.savez(tmp_path / "data.npz", images=IMAGES[:3], labels=np.array(labels))
    samples = read_samples(tmp_path / "data.npz", SimpleNamespace(**vars(READER) | {"class_names": names}))
    assert [sample.label for sample in samples] == wanted
    assert len(samples.notes) == (note is not None)
    assert all(note in each for each in samples.notes)


def test_files_that_are_no_images_are_counted(folder, tmp_path):
    assert read_samples(folder, READER).notes == ()
    for name in ("circle/a.svg", "circle/b.SVG", "notes.txt", ".DS_Store", "star/@eaDir/0.png/thumbnail.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    samples = read_samples(folder, READER)
    assert len([*samples]) == N
    (note,) = samples.notes
    assert note.startswith("passed over: ending in .svg (2), ")
    for told in ("ending in .txt (1)", "hidden (1)", "in @eaDir, a folder of a NAS, a camera or a system (1)"):
        assert told in note
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert "ending in .svg (2)" in read_samples(tmp_path / "packed.zip", READER).notes[0]
    for index in range(9):
        (folder / f"a.{index}").touch()
    assert read_samples(folder, READER).notes[0].endswith(", for other reasons (8)")
    shutil.rmtree(folder / "star")
    for image in folder.rglob("*.png"):
        image.unlink()
    with pytest.raises(InputError, match=r"images holds no images \(passed over: ending in .svg \(2\), "):
        read_samples(folder, READER)


def test_folders_of_another_kind_are_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no images"):
        read_samples(tmp_path / "empty", READER)
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_samples(tmp_path / "nowhere", READER)
    (folder / "star").rename(folder / "cat")
    with pytest.raises(InputError, match="sub-folder 'cat', but this model's classes are circle, rectangle, star"):
        read_samples(folder, READER)
