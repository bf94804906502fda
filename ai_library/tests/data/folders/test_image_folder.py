"""A folder of images becomes a data source that trains, and says what it lacks."""

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ai_library import CNN, Augmentation, ImageFolderDataSource, InputError, TrainConfig, Trainer, evaluate
from ai_library.data.images.reading import read_image
from ai_library.data.source import SPLITS
from ai_library.data.splitting import SHARES
from ai_library.tests.data.folders.image_folders import draw_folder, sizes
from ai_library.tests.pillow_shapes import draw_pillow_shape

pytestmark = pytest.mark.usefixtures("quickly_compiled")

CLASSES = ("circle", "cross", "triangle")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """200 images of many sizes that Pillow drew, in 3 classes."""
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    for index in range(200):
        path = folder / CLASSES[index % 3] / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        draw_pillow_shape(CLASSES[index % 3], rng).save(path)
    return folder


@pytest.fixture
def folder(drawn, tmp_path):
    """A copy of these images, which a test may change."""
    return shutil.copytree(drawn, tmp_path / "images")


@pytest.mark.slow
def test_200_images_train_far_above_chance(drawn):
    source = ImageFolderDataSource(drawn, image_size=32)
    model = CNN(num_classes=3, features=(8, 8, 8, 8, 8), dense=16, patch=2)
    augmentation = Augmentation(shift=3, rotation=180, scale=0.2)
    config = TrainConfig(epochs=30, batch_size=16, learning_rate=1e-2, augmentation=augmentation)
    report = evaluate(Trainer(model, source, config, run_dir=False).fit(), source)
    assert report.n == source.size("evaluation") > 20
    assert report.accuracy > 0.7


@pytest.mark.slow
def test_every_image_is_in_one_split_with_its_class(folder):
    source = ImageFolderDataSource(folder, image_size=16)
    assert source.class_names == CLASSES
    counts = [source.size(split) for split in SPLITS]
    assert sum(counts) == 200
    np.testing.assert_allclose(np.array(counts) / 200, [0.7, 0.15, 0.15], atol=0.01)
    labels = np.concatenate(
        [source.examples(split, range(size))[1] for split, size in zip(SPLITS, counts, strict=True)]
    )
    assert np.bincount(labels).tolist() == [67, 67, 66]


@pytest.mark.slow
def test_adding_files_moves_few_others(folder):
    def splits():
        source = ImageFolderDataSource(folder, image_size=16)
        return {path: split for split in SPLITS for path in source.paths(split)}

    before = splits()
    rng = np.random.default_rng(1)
    for index in range(200, 210):
        draw_pillow_shape("cross", rng).save(folder / "cross" / f"{index}.png")
    after = splits()
    moved = [path for path in before if before[path] != after[path]]
    assert len(moved) <= 4
    assert {path.parent.name for path in moved} <= {"cross"}
    assert len(after) == 210


@pytest.mark.slow
def test_settings_tell_images_from_others_of_the_same_names_and_not_how_they_are_stored(folder):
    def contents():
        return ImageFolderDataSource(folder, image_size=16).settings()["contents"]

    before = contents()
    for path in folder.glob("circle/*.png"):
        with Image.open(path) as image:
            image.load()
        image.save(path, compress_level=1)
    assert contents() == before
    (folder / "circle").rename(folder / "other")
    (folder / "cross").rename(folder / "circle")
    (folder / "other").rename(folder / "cross")
    assert not contents().items() & before.items()


@pytest.mark.slow
def test_images_of_one_name_in_folders_of_a_class_fall_into_all_splits(folder):
    for path in sorted(folder.glob("*/*.png")):
        path.with_suffix("").mkdir()
        path.rename(path.with_suffix("") / "image.png")
    source = ImageFolderDataSource(folder, image_size=16)
    counts = [source.size(split) for split in SPLITS]
    assert sum(counts) == 200
    np.testing.assert_allclose(np.array(counts) / 200, [0.7, 0.15, 0.15], atol=0.06)


def test_a_class_name_that_no_terminal_can_show_is_named(folder):
    (folder / "cross").rename(folder / "cr\noss")
    with pytest.raises(InputError, match=r"a class name must be printable text, got 'cr\\noss': rename it"):
        ImageFolderDataSource(folder)


@pytest.mark.slow
def test_colour_and_grey_are_read_as_asked(folder):
    Image.new("RGB", (40, 40), (255, 0, 0)).save(folder / "circle/red.png")
    for channels in (1, 3):
        source = ImageFolderDataSource(folder, image_size=16, channels=channels)
        assert source.examples("train", [0])[0].shape == (1, 16, 16, channels)


def test_unreadable_images_are_named(folder):
    (folder / "circle/000.png").write_text("not an image")
    with pytest.raises(InputError, match="1 of 200 images cannot be used: .*circle/000.png.* not an image"):
        ImageFolderDataSource(folder, image_size=16).size("train")


def test_all_classes_with_too_few_images_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere is not a folder"):
        ImageFolderDataSource(tmp_path / "nowhere")
    for name, kept in (("cross", 5), ("circle", 9)):
        for path in sorted((folder / name).iterdir())[kept:]:
            path.unlink()
    too_few = r"with too few images in .*: circle \(9\), cross \(5\); each needs 10 .*, or measure by folds"
    with pytest.raises(InputError, match=too_few):
        ImageFolderDataSource(folder)
    for path in sorted((folder / "cross").iterdir())[2:]:
        path.unlink()
    with pytest.raises(InputError, match=r"cross \(2\); each needs 3 or more: add some, or remove the classes$"):
        ImageFolderDataSource(folder, min_images=3)


def test_a_class_of_too_few_groups_is_named_and_may_be_divided_without_them(tmp_path):
    draw_folder(tmp_path, {"a/one": 20, "a/two": 20, **{f"b/{day}": 8 for day in range(5)}})
    with pytest.raises(InputError, match="classes that cannot be divided .*: a; each needs 3 groups"):
        ImageFolderDataSource(tmp_path, image_size=8).size("train")
    assert sizes(ImageFolderDataSource(tmp_path, image_size=8, groups="none"))["train"] == [28, 28]
    with pytest.raises(InputError, match="groups must be 'folders' or 'none', got 'each'"):
        ImageFolderDataSource(tmp_path, groups="each")  # pyright: ignore[reportArgumentType]


def test_no_sub_folder_of_a_class_is_divided(tmp_path):
    draw_folder(tmp_path, {f"{name}/{animal}": 6 for name in "ab" for animal in range(20)})
    source = ImageFolderDataSource(tmp_path, image_size=8)
    animals = [{path.parent for path in source.paths(split)} for split in SPLITS]
    assert len(set().union(*animals)) == sum(map(len, animals)) == 40
    assert sizes(source) == {"train": [84, 84], "validation": [18, 18], "evaluation": [18, 18]}


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match=f"{folder} cannot be listed: Permission denied; make it readable"):
        ImageFolderDataSource(folder)


def test_examples_are_those_of_their_files(folder):
    source = ImageFolderDataSource(folder, image_size=16)
    for split in SPLITS:
        images, labels = source.examples(split, range(source.size(split)))
        for path, image, label in zip(source.paths(split), images, labels, strict=True):
            assert path.parent.name == CLASSES[label]
            np.testing.assert_array_equal(read_image(path, (16, 16, 1)), image)


def test_40_faces_of_10_pictures_each_are_a_source(tmp_path):
    draw_folder(tmp_path, {f"s{person}": 10 for person in range(1, 41)}, ending=".pgm")
    source = ImageFolderDataSource(tmp_path, image_size=8)
    assert source.num_classes == 40
    assert min(map(min, sizes(source).values())) >= 1
    assert "classes with fewer than 20 images: s1 (10)" in str(source.summary())


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "images"), [(100, 40), (40, 20)])
def test_many_small_classes_are_divided_whatever_their_names(classes, images, tmp_path):
    """The files are tiny, since there are many."""
    pixel = b"P5 1 1 255\n" + bytes([7])
    for name in range(classes):
        (tmp_path / f"class {name}").mkdir()
        for index in range(images):
            (tmp_path / f"class {name}" / f"{index:06}.pgm").write_bytes(pixel[:-1] + bytes([index * 5]))
    found = sizes(ImageFolderDataSource(tmp_path, image_size=1, groups="none"))
    for split, share in SHARES.items():
        assert np.abs(np.array(found[split]) - share * images).max() <= 1


@pytest.mark.slow
def test_the_table_tells_sizes_and_modes_and_what_looks_wrong(folder):
    Image.new("RGBA", (40, 30), (255, 0, 0, 90)).save(folder / "circle/red.png")
    draw_folder(folder, {"train": 1000, "bus": 12}, side=2)
    told = str(ImageFolderDataSource(folder, image_size=16).summary())
    for line in (
        "2x2 to ",
        "most often 2x2 (1,012)",
        "RGBA (1)",
        "train has 1,000 images and bus 12",
        "names train are taken for classes",
    ):
        assert line in told
    assert "bus (12)" in told
    assert "1,012 images of less than half the size" in told
