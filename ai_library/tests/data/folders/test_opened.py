"""Images are read from a zip of a folder, and from a table of pixels."""

import gc
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ai_library import ImageFolderDataSource, InputError
from ai_library.data.folders.pixel_table import read_pixels
from ai_library.data.folders.samples import read_samples
from ai_library.data.source import SPLITS
from ai_library.tests.data.folders.image_folders import draw_folder, write_rows
from ai_library.tests.model_files import small_classifier


def contents(source):
    return {split: source.examples(split, range(source.size(split)))[0].tobytes() for split in SPLITS}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary ones are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_zip_of_a_folder_is_read_like_the_folder(tmp_path, temporary):
    draw_folder(tmp_path / "photos", {"a": 20, "b": 20, "a/@eaDir": 3, "b/notes.txt": "x"})
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path, "photos")
    source = ImageFolderDataSource(tmp_path / "photos.zip", image_size=8)
    folder = ImageFolderDataSource(tmp_path / "photos", image_size=8)
    assert contents(source) == contents(folder)
    assert source.settings() == folder.settings()
    assert source.summary().passed_over == folder.summary().passed_over
    assert "the classes are in photos" in source.summary().notes[0]
    assert list(temporary.iterdir())
    del source
    gc.collect()
    assert not list(temporary.iterdir())


def test_a_zip_of_a_folder_is_predicted_like_the_folder(tmp_path, temporary):
    classifier = small_classifier()
    draw_folder(tmp_path / "photos", dict.fromkeys(classifier.class_names[:2], 2))
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path, "photos")
    zipped, plain = (list(read_samples(tmp_path / name, classifier)) for name in ("photos.zip", "photos"))
    assert [(one.name, one.label) for one in zipped] == [(other.name, other.label) for other in plain]
    assert all((one.image == other.image).all() for one, other in zip(zipped, plain, strict=True))
    gc.collect()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(("name", "encoding"), [("Ba\u0308r", "utf-8"), ("圆", "utf-8"), ("Bär", "cp437")])
def test_names_of_a_zip_may_be_in_utf8_without_its_flag_or_in_the_code_page_of_dos(name, encoding, tmp_path, temporary):
    """macOS writes the first, old programs the second."""
    unflagged = {"_encodeFilenameFlags": lambda entry: (entry.filename.encode(encoding), entry.flag_bits & ~0x800)}
    entry = type("Entry", (zipfile.ZipInfo,), unflagged)
    folder = draw_folder(tmp_path / "photos", {name: 20, "b": 20})
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.writestr(entry(str(path.relative_to(tmp_path))), path.read_bytes())
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert (f"photos/{name}/000000.png" in archive.namelist()) == (encoding == "cp437")
    source = ImageFolderDataSource(tmp_path / "photos.zip", image_size=8)
    assert source.class_names == ImageFolderDataSource(folder, image_size=8).class_names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../escaped.png", "/escaped.png", "a\\..\\..\\escaped.png", "C:\\escaped.png"])
def test_nothing_is_unpacked_outside_the_temporary_folder(name, tmp_path, temporary):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError):
        ImageFolderDataSource(tmp_path / "evil.zip")
    gc.collect()
    assert not list(Path("/").glob("escaped.png")) + list(tmp_path.rglob("escaped.png"))
    assert not list(temporary.iterdir())


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path, temporary):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive:
        archive.writestr("a/bomb.png", b"x")
    content = bytearray((tmp_path / "bomb.zip").read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 2_000_000_000)  # the size that it says it has
    (tmp_path / "bomb.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"bomb.zip has 1 files and unpacks to 2,000,000,000 bytes, and at most"):
        ImageFolderDataSource(tmp_path / "bomb.zip")


def test_a_damaged_zip_is_named(tmp_path, temporary):
    draw_folder(tmp_path / "photos", {"a": 20, "b": 20})
    path = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos"))
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match="photos.zip cannot be unpacked: .*; unpack it yourself, and give the folder"):
        ImageFolderDataSource(path)


def test_messages_on_a_zip_name_it_and_no_temporary_folder(tmp_path, temporary):
    def zipped(name, members):
        draw_folder(tmp_path / name, members)
        return Path(shutil.make_archive(str(tmp_path / name), "zip", tmp_path / name))

    few, one = zipped("few", {"a": 20, "b": 2}), zipped("one", {"a": 3})
    broken = zipped("broken", {"a": 20, "b": 20, "b/broken.png": "x"})
    doubled = zipped("doubled", {"a": 20, "b": 20})
    shutil.copy(tmp_path / "doubled/a/000000.png", tmp_path / "doubled/b/copy.png")
    shutil.copy(tmp_path / "doubled/a/000001.png", tmp_path / "doubled/loose.png")
    shutil.make_archive(str(tmp_path / "doubled"), "zip", tmp_path / "doubled")
    with pytest.raises(InputError) as too_few:
        ImageFolderDataSource(few)
    with pytest.raises(InputError) as one_class:
        ImageFolderDataSource(one)
    with pytest.raises(InputError) as unreadable:
        _ = ImageFolderDataSource(broken).read
    told = str(ImageFolderDataSource(doubled, image_size=32).summary())
    faults = ImageFolderDataSource(broken, skip_broken=True).read.faults
    assert [*faults] == [str(broken / "b/broken.png")]
    assert f"such as {doubled / 'a/000000.png'}" in told
    assert f"1 image in {doubled} itself" in told
    for text, path in ((too_few.value, few), (one_class.value, one), (unreadable.value, broken), (told, doubled)):
        assert str(path) in str(text)
        assert str(temporary) not in str(text)


@pytest.fixture
def digits(tmp_path):
    """A table as Kaggle has it, with 10 classes of 12 images each, and the pixels in it."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 64))
    header = ["label", *(f"pixel{i}" for i in range(64))]
    rows = [[index % 10, *row] for index, row in enumerate(pixels.tolist())]
    return write_rows(tmp_path / "train.csv", header, *rows), pixels.reshape(120, 8, 8, 1)


def test_a_table_of_pixels_trains(digits):
    path, pixels = digits
    source = ImageFolderDataSource(path, image_size=8)
    assert source.class_names == tuple("0123456789")
    assert sum(map(source.size, SPLITS)) == 120
    images, labels = source.examples("train", range(source.size("train")))
    for image, label, row in zip(images, labels, source.paths("train"), strict=True):
        index = int(row.name.removeprefix("row ")) - 1
        assert label == index % 10
        np.testing.assert_array_equal(image, pixels[index])


def test_a_table_of_pixels_is_predicted_with_and_without_labels(digits, tmp_path):
    classifier = small_classifier(class_names=tuple("0123456789"))
    path, _ = digits
    samples = list(read_samples(path, classifier))
    assert [sample.label for sample in samples] == [index % 10 for index in range(120)]
    assert [sample.label for sample in read_samples(path, classifier, unlabelled=True)] == [None] * 120
    lines = path.read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(line.partition(",")[2] for line in lines))
    (tmp_path / "bare.csv").write_text("\n".join(lines[1:]))
    for name in ("test.csv", "bare.csv"):
        again = list(read_samples(tmp_path / name, classifier))
        assert all((one.image == other.image).all() for one, other in zip(samples, again, strict=True))
        assert again[3].label == (None if name == "test.csv" else 3)
    with pytest.raises(InputError, match="has no column label"):
        ImageFolderDataSource(tmp_path / "test.csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("label,a,b,c,d\n1,2,3,4,256\n", "must have 4 pixels from 0 to 255 in line 2, got 4 from 2 to 256"),
        ("label,a,b,c,d\n1,2,3,4\n", "must have 4 pixels from 0 to 255 in line 2, got 3"),
        ("label,a,b,c,d\n1,2,3,x,4\n", "must have numbers in line 2"),
        ("label,a,b,c\n1,2,3,4\n", "must have a column for each pixel of a square image"),
        ("label,a,b,c,d\n", "has no rows of pixels"),
        ("", "must have a column for each pixel"),
    ],
)
def test_what_is_wrong_in_a_table_of_pixels_is_named(text, told, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read_pixels(tmp_path / "t.csv")


@pytest.mark.parametrize("form", ["%d", "%.1f", "%.18e"])
@pytest.mark.parametrize("labelled", [False, True])
def test_no_row_of_a_table_without_names_is_passed_over(form, labelled, tmp_path):
    """`%.18e` is the form that `numpy.savetxt` takes by itself."""
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4))
    rows = images.reshape(5, 16)
    rows = np.column_stack([np.arange(5), rows]) if labelled else rows
    np.savetxt(tmp_path / "t.csv", rows, form, delimiter=",")
    table = read_pixels(tmp_path / "t.csv")
    np.testing.assert_array_equal(table.images, images)
    assert table.labels == (["0", "1", "2", "3", "4"] if labelled else None)


def test_labels_that_look_like_numbers_stay_apart(tmp_path):
    """Code points, and codes with an underscore; what numpy writes is a number."""
    rows = [(name, *range(4)) for name in ("4e00", "4", "1_2", "12", "4.", "7.000000000000000000e+00")]
    table = read_pixels(write_rows(tmp_path / "t.csv", ("label", *"abcd"), *rows))
    assert table.labels == ["4e00", "4", "1_2", "12", "4", "7"]


def test_names_of_columns_may_be_numbers_and_labels_of_rows_texts(tmp_path):
    rows = [(name, *range(16)) for name in ("cat", "dog")]
    for names in ([("label", *range(16))], []):
        table = read_pixels(write_rows(tmp_path / "t.csv", *names, *rows))
        assert table.labels == ["cat", "dog"]
        np.testing.assert_array_equal(table.images, np.arange(16).reshape(1, 4, 4).repeat(2, axis=0))


def test_empty_folders_of_a_zip_are_classes_without_images(tmp_path, temporary):
    draw_folder(tmp_path / "photos", {"a": 20, "b": 20})
    (tmp_path / "photos/c").mkdir()
    path = shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos")
    for place in (path, tmp_path / "photos"):
        with pytest.raises(InputError, match="c: empty folders"):
            ImageFolderDataSource(place)


@pytest.mark.parametrize(
    ("rest", "message"),
    [(b"7", "must have numbers in line 4,002"), (b"caf\xe9,1,2,3,4\n", "cannot be read as a CSV file in UTF-8")],
)
def test_a_table_of_pixels_that_is_cut_off_or_in_another_encoding_is_named(rest, message, tmp_path):
    rows = b"label,p0,p1,p2,p3\n" + 4_000 * b"1,1,2,3,4\n"
    (tmp_path / "digits.csv").write_bytes(rows + rest)
    with pytest.raises(InputError, match=message):
        read_pixels(tmp_path / "digits.csv")
