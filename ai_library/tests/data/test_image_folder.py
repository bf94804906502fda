"""A folder of images becomes a data source that trains, and says what it lacks."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_library import CNN, Augmentation, ImageFolderDataSource, InputError, TrainConfig, Trainer, evaluate
from ai_library.tests.pillow_shapes import draw_pillow_shape

CLASSES = ("circle", "cross", "triangle")


@pytest.fixture
def folder(tmp_path):
    """200 images of many sizes that Pillow drew, in 3 classes."""
    rng = np.random.default_rng(0)
    for index in range(200):
        path = tmp_path / "images" / CLASSES[index % 3] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_pillow_shape(CLASSES[index % 3], rng).save(path)
    return tmp_path / "images"


@pytest.mark.slow
def test_200_images_train_far_above_chance(folder, tmp_path):
    source = ImageFolderDataSource(folder, image_size=32)
    model = CNN(num_classes=3, features=(16, 32, 32, 32, 32), dense=32, patch=2)
    augmentation = Augmentation(shift=3, rotation=180, scale=0.2)
    config = TrainConfig(epochs=40, batch_size=32, learning_rate=1e-2, augmentation=augmentation)
    report = evaluate(Trainer(model, source, config, tmp_path / "run").fit(), source)
    assert report.n == source.size("evaluation") > 20
    assert report.accuracy > 0.7


def test_every_image_is_in_one_split_with_its_class(folder):
    source = ImageFolderDataSource(folder, image_size=16)
    assert source.class_names == CLASSES
    sizes = [source.size(split) for split in ("train", "validation", "evaluation")]
    assert sum(sizes) == 200
    np.testing.assert_allclose(np.array(sizes) / 200, [0.7, 0.15, 0.15], atol=0.06)
    labels = np.concatenate(
        [source.examples(split, range(size))[1] for split, size in zip(source._files, sizes, strict=True)]
    )
    assert np.bincount(labels).tolist() == [67, 67, 66]


def test_adding_files_moves_none(folder):
    def contents(split):
        source = ImageFolderDataSource(folder, image_size=16)
        return {image.tobytes() for image in source.examples(split, range(source.size(split)))[0]}

    before = {split: contents(split) for split in ("train", "validation", "evaluation")}
    rng = np.random.default_rng(1)
    for index in range(200, 300):
        draw_pillow_shape("cross", rng).save(folder / "cross" / f"{index}.png")
    assert all(before[split] <= contents(split) for split in before)


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


def test_images_of_one_name_in_folders_of_a_class_fall_into_all_splits(folder):
    for path in sorted(folder.glob("*/*.png")):
        path.with_suffix("").mkdir()
        path.rename(path.with_suffix("") / "image.png")
    source = ImageFolderDataSource(folder, image_size=16)
    sizes = [source.size(split) for split in ("train", "validation", "evaluation")]
    assert sum(sizes) == 200
    np.testing.assert_allclose(np.array(sizes) / 200, [0.7, 0.15, 0.15], atol=0.06)


def test_a_class_name_that_no_terminal_can_show_is_named(folder):
    (folder / "cross").rename(folder / "cr\noss")
    with pytest.raises(InputError, match=r"a class name must be printable text, got 'cr\\noss': rename it"):
        ImageFolderDataSource(folder)


def test_colour_and_grey_are_read_as_asked(folder):
    Image.new("RGB", (40, 40), (255, 0, 0)).save(folder / "circle/red.png")
    for channels in (1, 3):
        source = ImageFolderDataSource(folder, image_size=16, channels=channels)
        assert source.examples("train", [0])[0].shape == (1, 16, 16, channels)


def test_unreadable_images_are_named(folder):
    (folder / "circle/000.png").write_text("not an image")
    source = ImageFolderDataSource(folder, image_size=16)
    with pytest.raises(InputError, match="1 of 200 images cannot be used: .*circle/000.png not an image"):
        sum(map(source.size, ("train", "validation", "evaluation")))


def test_what_a_folder_lacks_is_named(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere is no folder"):
        ImageFolderDataSource(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has images in 0 sub-folders"):
        ImageFolderDataSource(folder / "circle")
    for path in sorted((folder / "cross").iterdir())[5:]:
        path.unlink()
    with pytest.raises(InputError, match="cross has 5 images: a class needs 20 or more"):
        ImageFolderDataSource(folder)


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(InputError, match=f"{folder} cannot be listed: Permission denied; make it readable"):
        ImageFolderDataSource(folder)


def test_a_class_missing_from_a_split_is_named(folder):
    kept = {path.name for path in (folder / "cross").iterdir()}
    source = ImageFolderDataSource(folder)
    for path, label in source._files["validation"]:
        if source.class_names[label] == "cross":
            path.unlink()
            kept.discard(path.name)
    assert len(kept) >= 10
    with pytest.raises(InputError, match="no image of the class 'cross' falls into the validation split"):
        ImageFolderDataSource(folder)
