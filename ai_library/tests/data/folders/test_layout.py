"""Folders as people, tutorials and systems lay them out are understood, and what is passed over is told."""

import os
import subprocess
import sys
import unicodedata

import pytest

from ai_library import ImageFolderDataSource, InputError
from ai_library.data.folders.layout import find_layout
from ai_library.data.folders.samples import read_samples
from ai_library.tests.data.folders.image_folders import draw_folder, sizes
from ai_library.tests.model_files import small_classifier


def layout_of(folder, images, **how):
    return find_layout(draw_folder(folder, images), **how)


@pytest.mark.parametrize(
    ("train", "others"),
    [
        ("train", {"validation": "validation"}),  # Keras: cats_and_dogs_filtered
        ("train", {"valid": "validation", "test": "evaluation"}),  # Roboflow
        ("Train", {"VAL": "validation", "Testing": "evaluation"}),
        ("training_set", {"test_set": "evaluation"}),
        ("TrainingSet", {"dev-set": "validation", "EvaluationData": "evaluation"}),
        ("seg_train", {"seg_test": "evaluation"}),
    ],
)
def test_folders_named_like_splits_are_the_splits(tmp_path, train, others):
    images = {f"{train}/{name}": 3 for name in "ab"} | {f"{top}/{name}": 2 for top in others for name in "ab"}
    layout = layout_of(tmp_path, images)
    assert layout.class_names == ("a", "b")
    assert layout.splits == {"train", *others.values()}
    assert len(layout.files) == sum(images.values())
    for file in layout.files:
        top, name, _ = file.path.relative_to(tmp_path).parts
        assert file.split == ({train: "train"} | others)[top]
        assert layout.class_names[file.label] == name


def test_what_is_missing_of_the_splits_comes_out_of_train(tmp_path):
    draw_folder(tmp_path / "one", {"train/a": 40, "train/b": 20, "test/a": 7, "test/b": 5})
    source = ImageFolderDataSource(tmp_path / "one", image_size=8)
    assert sizes(source) == {"train": [34, 17], "validation": [6, 3], "evaluation": [7, 5]}
    assert "15% of train are validation" in str(source.summary())
    draw_folder(tmp_path / "two", {"train/a": 40, "train/b": 20, "dev/a": 7, "dev/b": 5})
    found = sizes(ImageFolderDataSource(tmp_path / "two", image_size=8))
    assert found == {"train": [34, 17], "validation": [7, 5], "evaluation": [6, 3]}
    draw_folder(tmp_path / "three", {f"{split}/{name}": 2 for split in ("train", "val", "test") for name in "ab"})
    assert set(map(tuple, sizes(ImageFolderDataSource(tmp_path / "three", image_size=8)).values())) == {(2, 2)}


@pytest.mark.parametrize(
    "images",
    [
        {"PetImages/Cat": 3, "PetImages/Dog": 3, "readme.txt": "x"},
        {"a/b/c/Cat": 3, "a/b/c/Dog": 3},
        {"archive/train/Cat": 3, "archive/train/Dog": 3, "archive/test/Cat": 1, "archive/test/Dog": 1, "__MACOSX/x": 1},
        {"seg_train/seg_train/Cat": 3, "seg_train/seg_train/Dog": 3, "seg_test/seg_test/Cat": 1, "seg_pred/p": 2},
        {"Cat/train": 3, "Cat/test": 1, "Dog/train": 3, "Dog/test": 1},
        {"Cat/images": 3, "Dog/images": 3},
        {"train/Cat": 3, "train/Dog": 3, "test": 4},
        {"train/Cat": 3, "train/Dog": 3, "test/unknown": 4},
    ],
)
def test_classes_are_found_where_they_are(tmp_path, images):
    assert layout_of(tmp_path, images).class_names == ("Cat", "Dog")


def test_an_empty_folder_beside_one_that_is_no_class_means_nothing(tmp_path):
    for top in ("images", "train", "train set"):
        draw_folder(tmp_path / top, {f"{top}/Cat": 3, f"{top}/Dog": 3, "labels": 0})
        assert find_layout(tmp_path / top).class_names == ("Cat", "Dog")


def test_a_class_may_be_called_like_a_split(tmp_path):
    layout = layout_of(tmp_path, {"train": 3, "bus": 3})
    assert layout.class_names == ("bus", "train")
    assert not layout.splits


def test_what_is_passed_over_is_counted_with_the_reason(tmp_path):
    images = {"a": 3, "b": 3, "a/notes.txt": "x", "a/Thumbs.db": "x", "a/.DS_Store": "x", ".git/c": 2, "b/x.CR2": "x"}
    layout = layout_of(tmp_path, images | {"a/@eaDir/000000.png": 2, "__MACOSX/a": 3})
    assert len(layout.files) == 6
    assert layout.passed_over == {
        "ending in .txt": 1,
        "ending in .cr2": 1,
        "hidden": 1,
        "files of a system": 1,
        "in hidden folders": 2,
        "in @eaDir, a folder of a NAS, a camera or a system": 2,
        "in __MACOSX, a folder of a NAS, a camera or a system": 3,
    }


def test_images_that_belong_to_no_class_are_a_warning(tmp_path):
    draw_folder(tmp_path, {"a": 12, "b": 12, ".": 2})
    told = str(ImageFolderDataSource(tmp_path, image_size=8).summary())
    assert f"warning: 2 images in {tmp_path} itself, in no class's folder: not used" in told
    assert "in no class's folder (2)" in told


def test_all_classes_without_a_readable_image_are_named(tmp_path):
    images = {"a": 3, "b": 3, "phone/1.cr2": "x", "notes/1.txt": "x", "empty": 0, "mac/.DS_Store": "x"}
    with pytest.raises(InputError, match="folders of classes without an image that can be read") as error:
        layout_of(tmp_path, images)
    for name in ("phone", "notes", "empty", "mac"):
        assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ({".": 3}, "images in 0 sub-folders, 3 images itself: it needs"),
        ({"cat": 3}, "images in 1 sub-folder: it needs"),
        ({"train": 3, "test": 3}, "train holds the images to train on, but no sub-folder for each class"),
        ({"val/a": 3, "val/b": 3, "test/a": 3, "test/b": 3}, "and none to train on"),
        ({"train/a": 3, "train/b": 3, "test/a": 3, "test/B": 3}, "train split of .* has no images of the classes B"),
        ({"Dog/x.cr2": "x", "Cat/one": 3, "Cat/two": 3}, "Dog: ending in .cr2 .1."),
        ({"Cat/one": 3, "Cat/two": 3, "Dog": 0}, "Dog: empty folders .1."),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path, images, told):
    with pytest.raises(InputError, match=told):
        layout_of(tmp_path, images)


def test_images_in_one_folder_of_a_class_are_a_group(tmp_path):
    images = {f"{name}/{animal}/day": 4 for name in "ab" for animal in range(3)} | {"a": 2}
    layout = layout_of(tmp_path, images)
    assert len({file.group for file in layout.files}) == 8
    assert "6 sub-folders of classes: the images of each stay together" in layout.notes[-1]
    assert len({file.group for file in find_layout(tmp_path, groups=False).files}) == 26


def test_names_of_classes_are_composed(tmp_path):
    name = "é"
    images = {f"train/{unicodedata.normalize('NFC', name)}": 2, f"test/{unicodedata.normalize('NFD', name)}": 2}
    layout = layout_of(tmp_path, images | {"train/z": 2, "test/z": 2})
    assert layout.class_names == ("z", unicodedata.normalize("NFC", name))


def test_a_copy_whose_names_are_stored_otherwise_has_the_same_groups_in_the_same_order(tmp_path):
    """Copies between macOS and other systems, and zip archives made there, may store an accent as a character more."""
    found = []
    for form in ("NFC", "NFD"):
        images = {f"a/{unicodedata.normalize(form, 'é')}": 3, "a/f": 3, "b": 3}
        draw_folder(tmp_path / form, images)
        for index, name in enumerate(("éa", "ez", "f")):
            (tmp_path / form / f"b/{index:06}.png").rename(
                tmp_path / form / f"b/{unicodedata.normalize(form, name)}.png"
            )
        found.append([(file.label, file.group) for file in find_layout(tmp_path / form).files])
    assert found[0] == found[1]
    assert len(set(found[0])) == 5


def test_a_split_given_alone_tells_of_those_beside_it(tmp_path):
    draw_folder(tmp_path, {"train/a": 2, "train/b": 2, "test/a": 2, "test/b": 2})
    assert "beside train there is test" in find_layout(tmp_path / "train").notes[0]


def test_a_folder_that_is_there_twice_is_named(tmp_path):
    draw_folder(tmp_path, {"a": 2, "b": 2})
    os.symlink(tmp_path, tmp_path / "a" / "again")
    with pytest.raises(InputError, match="leads to a folder that is there already"):
        find_layout(tmp_path)


def test_a_link_to_itself_is_a_file_that_is_no_image(tmp_path):
    draw_folder(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a/circle").symlink_to("circle")
    assert find_layout(tmp_path).passed_over == {"without an ending": 1}


@pytest.mark.slow
def test_of_two_sets_of_splits_the_same_is_taken_each_time(tmp_path):
    tops = ("train_rgb", "test_rgb", "train_depth", "test_depth")
    draw_folder(tmp_path, {f"{top}/{name}": 3 for top in tops for name in "ab"})
    code = (
        f"from ai_library.data.folders.layout import find_layout; print(find_layout({str(tmp_path)!r}).files[0].path)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123456"
    }
    assert len(found) == 1


def test_classes_may_have_a_test_in_their_names(tmp_path):
    layout = layout_of(tmp_path, {"positive test": 3, "negative test": 3})
    assert layout.class_names == ("negative test", "positive test")


@pytest.mark.skipif(os.name != "posix", reason="links and rights as POSIX has them")
def test_folders_that_are_passed_over_are_not_followed(tmp_path):
    draw_folder(tmp_path / "data", {"a": 3, "b": 3, ".venv/lib": 1})
    (tmp_path / "data/.venv/lib64").symlink_to("lib")
    assert find_layout(tmp_path / "data").class_names == ("a", "b")


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (["cat/film 1", "dog/film 2"], "cat/film 1, dog/film 2"),
        (["cat/film 1", "cat/film 2", "dog/film 3"], "dog/film 3"),
        (["cat/images", "dog/images"], None),
        (["cat", "dog"], None),
        (["cat/images/film 1", "cat/images/film 2", "dog/images/film 3", "dog/images/film 4"], None),
    ],
)
def test_one_folder_that_holds_a_class_is_told_where_it_may_be_a_group(folders, told, tmp_path):
    draw_folder(tmp_path, dict.fromkeys(folders, 2))
    reader = small_classifier(class_names=("cat", "dog"))
    for notes in (find_layout(tmp_path).notes, read_samples(tmp_path, reader).notes):
        (note,) = [note for note in notes if "all images of a class" in note] or [None]
        assert note == (
            told
            and f"all images of a class are in one sub-folder: {told}; they are taken as independent, so "
            "that intervals are too narrow if it is one film or one patient"
        )
    assert not [note for note in find_layout(tmp_path, groups=False).notes if "all images of a class" in note]
