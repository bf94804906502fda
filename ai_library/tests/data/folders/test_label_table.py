"""Images get their labels, splits and groups from a table."""

import unicodedata

import pytest

from ai_library import ImageFolderDataSource, InputError
from ai_library.data.source import SPLITS
from ai_library.tests.data.folders.image_folders import draw_folder, sizes, write_rows


@pytest.fixture
def flat(tmp_path):
    """60 images in one folder, images/000000.png and so on."""
    return draw_folder(tmp_path / "flat", {"images": 60})


@pytest.mark.parametrize(
    ("columns", "name", "delimiter"),
    [
        (("path", "label"), "images/{:06}.png", ","),
        (("id", "breed"), "{:06}", ","),  # Kaggle: dog-breed-identification
        (("Filename", "Class"), "{:06}.png", ";"),
        (("label", "image_path"), "./images\\{:06}.png", "\t"),
        (("image", "label"), "/home/me/flat/images/{:06}.png", ","),
    ],
)
def test_a_table_gives_the_labels(columns, name, delimiter, flat, tmp_path):
    rows = [{columns[0]: name.format(i), columns[1]: "pug"} for i in range(60)]
    if columns[0] == "label":
        rows = [{"label": "pug", "image_path": name.format(i)} for i in range(60)]
    label = next(column for column in columns if rows[0][column] == "pug")
    for index in range(1, 60, 2):
        rows[index][label] = "hüsky"
    table = write_rows(tmp_path / "labels.csv", columns, *(row.values() for row in rows), delimiter=delimiter)
    source = ImageFolderDataSource(flat, labels=table, image_size=8)
    assert source.class_names == ("hüsky", "pug")
    assert sizes(source)["train"] == [21, 21]
    for split in SPLITS:
        labels = source.examples(split, range(source.size(split)))[1]
        assert all(int(path.stem) % 2 != label for path, label in zip(source.paths(split), labels, strict=True))


def test_a_table_gives_splits_and_groups(flat, tmp_path):
    rows = [(f"{i:06}.png", i % 2, ("train", "Test")[i >= 40], f"patient {i // 4}") for i in range(60)]
    table = write_rows(tmp_path / "labels.csv", ("path", "label", "split", "patient"), *rows)
    source = ImageFolderDataSource(flat, labels=table, image_size=8)
    assert {int(path.stem) for path in source.paths("evaluation")} == set(range(40, 60))
    patients = [{int(path.stem) // 4 for path in source.paths(split)} for split in SPLITS]
    assert patients[1]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_numbers_as_labels_are_in_their_order_and_images_without_a_row_are_counted(flat, tmp_path):
    rows = [(f"images/{i:06}.png", (9, 10)[i % 2]) for i in range(50)]
    source = ImageFolderDataSource(flat, labels=write_rows(tmp_path / "t.csv", ("path", "label"), *rows), image_size=8)
    assert source.class_names == ("9", "10")
    assert "without a row in the table of labels (10)" in str(source.summary())
    assert "warning: 10 images without a row in" in str(source.summary())


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("path", "label"), ("nothing.png", "a")], "1 of 1 images in .* are not in .*: nothing.png"),
        ([("picture", "what"), ("000001.png", "a")], "must begin with a line that names its columns, path and label"),
        ([("path", "label"), ("000001.png", "")], "must have a path and a label in line 2"),
        ([("path", "label"), ("000001.png",)], "must have 2 columns in line 2, got 1"),
        ([("path", "label", "split"), ("000001", "a", "later")], "must name train, validation or test .* in line 2"),
        (
            [("path", "label"), ("000001", "a"), ("000001", "b")],
            "has images/000001.png more than once, with different labels",
        ),
        (
            [("path", "label", "split"), ("000001", "a", "train"), ("000001", "a", "test")],
            "has images/000001.png more than once, with different splits",
        ),
        (
            [("path", "label", "patient"), ("000001", "a", "x"), ("000001", "a", "y")],
            "has images/000001.png more than once, with different groups",
        ),
        ([("path", "label")], "has no rows"),
        (
            [("path", "label", "split"), ("000001", "a", "val"), ("000002", "b", "test")],
            "must put images into .* train",
        ),
    ],
)
def test_what_is_wrong_in_a_table_is_named(rows, told, flat, tmp_path):
    with pytest.raises(InputError, match=told):
        ImageFolderDataSource(flat, labels=write_rows(tmp_path / "labels.csv", *rows))


def test_a_number_of_a_row_is_no_path_where_there_is_one(flat, tmp_path):
    rows = [(i, f"{59 - i:06}.png", ("pug", "husky")[i % 2]) for i in range(60)]
    table = write_rows(tmp_path / "labels.csv", ("id", "image_path", "label"), *rows)
    source = ImageFolderDataSource(flat, labels=table, image_size=8)
    labels = source.examples("train", range(source.size("train")))[1]
    for path, label in zip(source.paths("train"), labels, strict=True):
        assert source.class_names[label] == ("pug", "husky")[(59 - int(path.stem)) % 2]


def test_labels_that_differ_in_capital_letters_alone_are_told(flat, tmp_path):
    rows = [(f"images/{i:06}.png", ("cat", "Cat", "dog")[i % 3]) for i in range(60)]
    source = ImageFolderDataSource(flat, labels=write_rows(tmp_path / "t.csv", ("path", "label"), *rows), image_size=8)
    assert "the classes Cat, cat differ only in capital letters" in source.summary().warnings


def test_paths_of_another_folder_are_told(flat, tmp_path):
    rows = [(f"elsewhere/{i:06}.png", i % 2) for i in range(60)]
    source = ImageFolderDataSource(flat, labels=write_rows(tmp_path / "t.csv", ("path", "label"), *rows), image_size=8)
    told = " ".join(source.summary().warnings)
    assert "60 paths" in told
    assert "were found without the first of their folders, such as elsewhere/000000.png" in told
    rows = [(f"flat/images/{i:06}.png", i % 2) for i in range(60)]
    source = ImageFolderDataSource(flat, labels=write_rows(tmp_path / "t.csv", ("path", "label"), *rows), image_size=8)
    assert "first of their folders" not in " ".join(source.summary().warnings)


def test_groups_of_a_table_are_told_and_can_be_left_out(flat, tmp_path):
    rows = [(f"{i:06}.png", i % 2, "one topic") for i in range(60)]
    table = write_rows(tmp_path / "labels.csv", ("path", "label", "subject"), *rows)
    assert sizes(ImageFolderDataSource(flat, labels=table, image_size=8, groups="none"))["train"] == [21, 21]
    with pytest.raises(InputError, match="cannot be divided"):
        ImageFolderDataSource(flat, labels=table, image_size=8).size("train")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_files_and_of_a_table_may_be_composed_otherwise(form, tmp_path):
    for index in range(30):
        draw_folder(tmp_path / "flat", {"x": 1}, seed=index)
        name = unicodedata.normalize(form, f"café {index}.png")
        (tmp_path / "flat/x/000000.png").rename(tmp_path / "flat/x" / name)
    rows = [(f"café {index}.png", index % 2) for index in range(30)]
    table = write_rows(tmp_path / "labels.csv", ("path", "label"), *rows)
    assert sum(map(sum, sizes(ImageFolderDataSource(tmp_path / "flat", labels=table, image_size=8)).values())) == 30


@pytest.mark.parametrize("column", ["PatientID", "Patient ID", "patient-id", " Subject_ID "])
def test_columns_may_be_spelt_otherwise_and_those_without_use_are_told(column, flat, tmp_path):
    rows = [(f"{i:06}.png", i % 2, 40 + i, i // 4) for i in range(60)]
    table = write_rows(tmp_path / "labels.csv", ("Image-Path", "LABEL", "age", column), *rows)
    source = ImageFolderDataSource(flat, labels=table, image_size=8)
    patients = [{int(path.stem) // 4 for path in source.paths(split)} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert f"labels are those of {table}; columns not used: age" in source.summary().notes


def test_groups_may_be_composed_otherwise_in_some_rows(flat, tmp_path):
    forms = ("NFC", "NFD")
    rows = [(f"{i:06}.png", i % 2, unicodedata.normalize(forms[i % 4 // 2], f"Zoé {i // 4}")) for i in range(60)]
    source = ImageFolderDataSource(
        flat, labels=write_rows(tmp_path / "labels.csv", ("path", "label", "patient"), *rows), image_size=8
    )
    patients = [{int(path.stem) // 4 for path in source.paths(split)} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_an_odd_line_break_in_a_cell_ends_no_row(flat, tmp_path):
    rows = [(f"{i:06}.png", i % 2, "sunny\x85cold") for i in range(60)]
    table = write_rows(tmp_path / "t.csv", ("path", "label", "remark"), *rows)
    assert ImageFolderDataSource(flat, labels=table, image_size=8).class_names == ("0", "1")
