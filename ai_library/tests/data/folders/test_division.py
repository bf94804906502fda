"""No image lies in one split and a copy of it in another, unless the user put it there, which is told."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ai_library import ImageFolderDataSource, InputError, TrainConfig, Trainer, evaluate, folds
from ai_library.data.source import SPLITS
from ai_library.tests.data.folders.image_folders import draw_folder, sizes
from ai_library.tests.own_networks import Linear

pytestmark = pytest.mark.usefixtures("quickly_compiled")

ENDINGS = (".png", ".bmp", ".tif", ".jpg", ".gif", ".webp")


def copied_noise(folder, n, seed=0):
    """Noise with random labels: of each of n images six copies in other formats, under names that tell nothing."""
    rng = np.random.default_rng(seed)
    for index in range(n):
        image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
        for ending in ENDINGS:
            place = folder / "ab"[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{rng.integers(1 << 60):x}_{index}_{ending}"[1:].replace("_.", "."))
    return folder


def labels_table(folder, *rows):
    (folder / "labels.csv").write_text("\n".join(map(",".join, rows)))
    return folder / "labels.csv"


def of_whom(path):
    return path.stem.rpartition("_")[2]


@pytest.mark.slow
def test_copies_in_other_formats_come_into_one_split(tmp_path):
    source = ImageFolderDataSource(copied_noise(tmp_path, 60), image_size=32, channels=3)
    originals = [{of_whom(path) for path in source.paths(split)} for split in SPLITS]
    assert sum(map(len, originals)) == len(set().union(*originals)) == 60
    assert sum(map(source.size, SPLITS)) == 360
    assert "copies are kept in one split" in str(source.summary())
    assert not source.leaks
    assert len({each.path for each in source.copies}) == len(source.copies) == 300  # all but the first of each
    assert all(of_whom(each.path) == of_whom(each.copy) for each in source.copies)
    assert {each.same_pixels for each in source.copies} == {True, False}  # a JPEG's are not those of the rest


@pytest.mark.slow
def test_copies_of_noise_are_recognised_by_chance(tmp_path):
    source = ImageFolderDataSource(copied_noise(tmp_path / "images", 60), image_size=16, channels=3)
    classifier = Trainer(
        Linear(num_classes=2), source, TrainConfig(epochs=25, batch_size=32, learning_rate=1e-2), False
    ).fit()
    assert evaluate(classifier, source, "train").accuracy > 0.95
    report = evaluate(classifier, source)
    low, high = report.accuracy_interval
    assert low < 0.5 < high
    assert "in 10 groups" in str(report)


def test_copies_in_two_classes_come_into_one_split_with_a_warning(tmp_path):
    draw_folder(tmp_path, {"a": 40, "b": 40}, side=16)
    for index in range(10):
        shutil.copy(tmp_path / f"a/{index:06}.png", tmp_path / f"b/copy of {index:06}.png")
    source = ImageFolderDataSource(tmp_path, image_size=16)
    split_of = {path.relative_to(tmp_path).as_posix(): split for split in SPLITS for path in source.paths(split)}
    assert all(split_of[f"a/{index:06}.png"] == split_of[f"b/copy of {index:06}.png"] for index in range(10))
    assert "warning: 10 images with the pixels of an image of another class" in str(source.summary())
    np.testing.assert_allclose([sizes(source)[split] for split in SPLITS], [[28, 35], [6, 7.5], [6, 7.5]], atol=1)


def test_a_class_of_nearly_the_same_images_is_divided_with_a_warning(tmp_path):
    draw_folder(tmp_path, {"a": 40, "b": 0}, side=32)
    picture = np.asarray(Image.open(tmp_path / "a/000000.png")).astype(int)
    for index in range(20):
        noise = np.random.default_rng(index).integers(-3, 4, picture.shape)
        Image.fromarray(np.uint8((picture + noise).clip(0, 255))).save(tmp_path / f"b/{index}.png")
    source = ImageFolderDataSource(tmp_path, image_size=32)
    assert [counts[1] for counts in sizes(source).values()] == [14, 3, 3]
    assert "the images of b are nearly the same within their class" in str(source.summary())


def test_nearly_the_same_images_in_the_splits_of_a_user_are_divided_into_folds(tmp_path):
    draw_folder(tmp_path, {f"{split}/{name}": 8 for split in ("train", "val", "test") for name in "ab"}, side=32)
    picture = np.asarray(Image.open(tmp_path / "train/a/000000.png")).astype(int)
    for index, path in enumerate(sorted(tmp_path.glob("*/b/*.png"))):
        noise = np.random.default_rng(index).integers(-3, 4, picture.shape)
        Image.fromarray(np.uint8((picture + noise).clip(0, 255))).save(path)
    source = ImageFolderDataSource(tmp_path, image_size=32)
    assert [fold.size("evaluation") for fold in folds(source, 4)] == [12] * 4
    assert "the images of b are nearly the same within their class" in str(source.summary())


@pytest.mark.parametrize("splits", [("",), ("train/", "val/", "test/")])
def test_a_class_of_broken_images_is_named_where_these_are_left_out(splits, tmp_path):
    draw_folder(tmp_path, {f"{split}{name}": 12 for split in splits for name in "ab"})
    for path in tmp_path.rglob("b/*.png"):
        path.write_text("broken")
    source = ImageFolderDataSource(tmp_path, image_size=8, skip_broken=True)
    with pytest.raises(InputError, match="classes without an image to train on that can be read: b"):
        source.size("train")


def test_a_class_of_copies_is_named(tmp_path):
    draw_folder(tmp_path, {"a": 40, "b": 2}, side=16)
    for index in range(10):
        shutil.copy(tmp_path / "b/000000.png", tmp_path / f"b/copy {index}.png")
    with pytest.raises(InputError, match="classes that cannot be divided into .*: b; each needs 3 groups"):
        ImageFolderDataSource(tmp_path, image_size=16).size("train")


def test_copies_across_the_splits_of_a_user_are_told_and_stay(tmp_path):
    draw_folder(tmp_path, {f"{split}/{name}": 12 for split in ("train", "val", "test") for name in "ab"}, side=32)
    shutil.copy(tmp_path / "train/a/000003.png", tmp_path / "test/a/other.png")
    Image.open(tmp_path / "val/b/000001.png").save(tmp_path / "test/b/other.jpg", quality=90)
    shutil.copy(tmp_path / "train/b/000000.png", tmp_path / "val/b/other.png")
    source = ImageFolderDataSource(tmp_path, image_size=32)
    leaks = [
        (leak.path.relative_to(tmp_path).as_posix(), leak.other.relative_to(tmp_path).as_posix(), leak.kind)
        for leak in source.leaks
    ]
    assert leaks == [
        ("test/a/other.png", "train/a/000003.png", "same pixels"),
        ("test/b/other.jpg", "val/b/000001.png", "nearly the same"),
        ("val/b/other.png", "train/b/000000.png", "same pixels"),
    ]
    assert source.leaked("evaluation").sum() == 2
    assert source.paths("evaluation")[int(source.leaked("evaluation").argmax())].name.startswith("other")
    assert source.leaked("validation").sum() == 1
    assert not source.leaked("train").any()
    assert [source.size(split) for split in SPLITS] == [24, 25, 26]
    told = str(source.summary())
    assert "warning: 2 images of evaluation with copies in earlier splits" in told
    assert "note: copies: 2 images with the same pixels as another" in told
    assert "copies in earlier splits" not in str(source.summary(for_folds=True))  # which keep copies together


def test_copies_within_train_stay_together_where_validation_comes_out_of_it(tmp_path):
    draw_folder(tmp_path, {f"{split}/{name}": 30 for split in ("train", "test") for name in "ab"}, side=16)
    for index in range(30):
        shutil.copy(tmp_path / f"train/a/{index:06}.png", tmp_path / f"train/a/copy_{index:06}.png")
    source = ImageFolderDataSource(tmp_path, image_size=16)
    split_of = {path.name: split for split in SPLITS[:2] for path in source.paths(split) if path.parent.name == "a"}
    assert all(split_of[f"{index:06}.png"] == split_of[f"copy_{index:06}.png"] for index in range(30))
    np.testing.assert_allclose(sizes(source)["validation"], [9, 4.5], atol=1)


def test_copies_of_validation_are_told_where_evaluation_comes_out_of_train(tmp_path):
    draw_folder(tmp_path, {f"train/{name}": 40 for name in "ab"}, side=16)
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    source = ImageFolderDataSource(tmp_path, image_size=16)
    assert source.size("evaluation") > 5
    assert source.leaked("evaluation").all()
    assert {leak.split for leak in source.leaks} == {"validation", "evaluation"}


def test_groups_across_the_splits_of_a_table_are_told_and_leak(tmp_path):
    draw_folder(tmp_path / "scans", {".": 40}, side=16)
    patients = [f"p{i % 4}" if i < 38 else "p9" for i in range(40)]
    rows = [(f"{i:06}.png", "ab"[i % 2], ("train", "test")[i >= 28], patients[i]) for i in range(40)]
    table = labels_table(tmp_path, ("path", "label", "split", "patient"), *rows)
    source = ImageFolderDataSource(tmp_path / "scans", labels=table, image_size=16)
    told = str(source.summary())
    assert "4 groups of images in train and evaluation: p0, p1, p2, p3: metrics on 10 images of evaluation" in told
    assert "kept together in one split" not in told
    assert "with copies" not in told
    assert source.leaked("evaluation").sum() == 10
    assert {leak.kind for leak in source.leaks} == {"same group"}
    for leak in source.leaks:
        assert int(leak.path.stem) % 4 == int(leak.other.stem) % 4
        assert (leak.split, leak.other_split == "evaluation") == ("evaluation", False)
    alone = ImageFolderDataSource(tmp_path / "scans", labels=table, image_size=16, groups="none")
    assert not alone.leaks
    assert "of one group" not in str(alone.summary())


@pytest.mark.slow
def test_sub_folders_across_the_splits_of_a_user_are_told_and_leak(tmp_path):
    images = {f"{split}/{name}/patient{i}": 5 for split in ("train", "val", "test") for name in "ab" for i in range(2)}
    draw_folder(tmp_path, images | {"test/a/patient7": 3, "test/b": 4}, side=16)
    shutil.copy(tmp_path / "train/a/patient0/000001.png", tmp_path / "test/a/patient0/copy.png")
    source = ImageFolderDataSource(tmp_path, image_size=16)
    told = str(source.summary())
    assert "4 groups of images in train and validation and evaluation: a/patient0, a/patient1, b/patient0" in told
    assert "metrics on 21 images of evaluation are too high" in told
    assert "1 image of evaluation with copies in earlier splits" in told
    assert "stay together" not in told
    assert [int(source.leaked(split).sum()) for split in SPLITS] == [0, 20, 21]
    kinds = {leak.path.name: leak.kind for leak in source.leaks if leak.split == "evaluation"}
    assert kinds.pop("copy.png") == "same pixels"  # which tells more than its group
    assert set(kinds.values()) == {"same group"}
    assert {leak.other_split for leak in source.leaks} == {"train"}


@pytest.mark.slow
@pytest.mark.parametrize("tops", [("train", "test"), ("train", "training", "test")])
def test_images_of_one_name_in_the_splits_of_a_user_are_no_group(tops, tmp_path):
    draw_folder(tmp_path, {f"{top}/{name}": 6 for top in tops for name in ("cat", "dog")}, side=16)
    source = ImageFolderDataSource(tmp_path, image_size=16, min_images=3)
    assert source.groups_of("train") is None
    assert not source.leaks
    assert not [warning for warning in source.summary().warnings if "group" in warning]
    sources = folds(source, 2 * len(tops))
    assert sum(len(np.unique(fold.groups_of("evaluation"))) for fold in sources) == 12 * len(tops)


@pytest.mark.slow
def test_validation_out_of_train_does_not_depend_on_the_names_in_test(tmp_path):
    for folder, first in (("one", 0), ("two", 50)):
        draw_folder(tmp_path / folder, {f"{top}/{name}": 30 for top in ("train", "test") for name in "ab"}, side=16)
        for path in [*(tmp_path / folder / "test").rglob("*.png")]:
            path.rename(path.with_stem(f"{int(path.stem) + first:07}"))
    sources = [ImageFolderDataSource(tmp_path / folder, image_size=16) for folder in ("one", "two")]
    first, second = ([source.name_of(path) for path in source.paths("validation")] for source in sources)
    assert first == second


@pytest.mark.slow
def test_each_class_of_a_table_of_patients_has_images_in_each_split(tmp_path):
    patients = ["abababba", "ccaab", "aaaaa", "bcbcaaaa", "bbaabaa", "ccccccab"]
    labels = "".join(patients)
    names = [f"p{index}" for index, own in enumerate(patients) for _ in own]
    draw_folder(tmp_path / "scans", {".": len(labels)}, side=16)
    rows = [(f"{index:06}.png", *row) for index, row in enumerate(zip(labels, names, strict=True))]
    source = ImageFolderDataSource(
        tmp_path / "scans", labels=labels_table(tmp_path, ("path", "label", "patient"), *rows), image_size=16
    )
    assert all(min(counts) > 0 for counts in sizes(source).values())
    assert not [warning for warning in source.summary().warnings if "has no images" in warning]
