"""The names of classes have the same bounds where they are made, written and read."""

import json

import numpy as np
import pytest

from ai_library import ArrayDataSource, ImageFolderDataSource, InputError, ModelFileError, load_model, save_model
from ai_library.data.class_names import check_class_names
from ai_library.data.folders.samples import read_samples
from ai_library.tests.model_files import rewritten, small_classifier


@pytest.mark.parametrize(
    "names",
    [("x" * 1024, "y"), (" a", "a"), ("$x$", "-"), ("\u0915\u094d\u200d\u0937", "\U0001f600"), range(2**14)],
    ids=["long", "spaces", "signs", "scripts", "many"],
)
def test_names_within_the_bounds_are_made_written_and_read(tmp_path, names):
    names = tuple(map(str, names))
    assert check_class_names(list(names)) == names
    save_model(tmp_path / "m", small_classifier(names))
    assert load_model(tmp_path / "m").class_names == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("", "b"), "1 to 1,024 characters and not be blank, got 0 characters, ''"),
        (("a", " \u3000"), "not be blank, got 2 characters"),
        (("a", "\u200d"), "not be blank"),
        (("a", "x" * 1025), "got 1,025 characters, 'xxx"),
        (("a", "x" * 1_900_000), "got 1,900,000 characters"),
        (("a", "b\x1b[31m"), r"must be printable text, got 'b\\x1b\[31m'"),
        (("a", "b", "a"), "2 names or more, each once, got 'a' twice"),
        (tuple(map(str, range(2**14 + 1))), "at most 16,384 names, got 16,385"),
    ],
)
def test_names_beyond_them_are_refused_in_a_short_line(tmp_path, names, message):
    arrays = np.zeros((4, 16, 16, 1), np.uint8), np.arange(4) % 2
    with pytest.raises(InputError, match=message) as made:
        ArrayDataSource(train=arrays, class_names=names)
    with pytest.raises(InputError, match="not written|num_classes must be") as written:
        save_model(tmp_path / "m", small_classifier(names))
    assert not [*tmp_path.iterdir()]
    save_model(tmp_path / "m", small_classifier())
    forged = rewritten(tmp_path / "m", tmp_path / "forged", lambda header: header.update(class_names=[*names]))
    if forged.stat().st_size < 2**21:
        with pytest.raises(ModelFileError) as read:
            load_model(forged)
        assert len(str(read.value)) < 600
    assert max(len(str(error.value)) for error in (made, written)) < 600


def test_a_folder_with_a_blank_name_is_no_class(tmp_path):
    for name in (" ", "a"):
        (tmp_path / name).mkdir()
        for index in range(20):
            (tmp_path / name / f"{index}.png").write_bytes(b"")
    with pytest.raises(InputError, match="a class name must have .* not be blank, got 1 characters, ' '"):
        ImageFolderDataSource(tmp_path)


def test_an_image_right_in_the_folder_has_no_label_whatever_the_classes_are_called(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"no image")
    for first in ("", ".", "0.png", tmp_path.name):
        labels = [sample.label for sample in read_samples(tmp_path, small_classifier((first, "a")))]
        assert labels == [None, 1]


def test_many_or_long_names_fill_no_message(tmp_path):
    classifier = small_classifier([f"{i} " + "x" * 1000 for i in range(2000)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other/1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="sub-folder 'other', but .* and 1,950 more: rename it") as caught:
        read_samples(tmp_path, classifier)
    assert len(str(caught.value)) < 3000
    assert len(repr(classifier)) < 1000
    assert json.dumps(classifier.class_names)[:4] == '["0 '
