"""Folds have each example once, with its group, and every class in every split."""

import numpy as np
import pytest

from ai_library import ArrayDataSource, ImageFolderDataSource, InputError, folds
from ai_library.data.source import SPLITS
from ai_library.tests.data.folders.image_folders import draw_folder


def contents(source, split):
    return [image.tobytes() for image in source.examples(split, range(source.size(split)))[0]]


def test_each_image_is_in_the_evaluation_of_one_fold(tmp_path):
    draw_folder(tmp_path, {"a": 11, "b": 8, "c": 30})
    sources = folds(ImageFolderDataSource(tmp_path, image_size=8, min_images=3), 5)
    evaluated = [image for source in sources for image in contents(source, "evaluation")]
    assert len(evaluated) == len(set(evaluated)) == 49
    for source in sources:
        assert len({image for split in SPLITS for image in contents(source, split)}) == 49
        for split in SPLITS:
            assert set(source.examples(split, range(source.size(split)))[1]) == {0, 1, 2}
    sizes = [np.bincount(source.examples("evaluation", range(source.size("evaluation")))[1]) for source in sources]
    assert np.ptp(sizes, axis=0).max() <= 1
    assert len({str(source.settings()) for source in sources}) == 5


def test_groups_are_never_divided(tmp_path):
    draw_folder(tmp_path, {f"{name}/{animal}": 4 for name in "ab" for animal in range(7)})
    for source in folds(ImageFolderDataSource(tmp_path, image_size=8), 3):
        groups = [set(source.groups_of(split).tolist()) for split in SPLITS]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 14


def test_arrays_are_divided_too():
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8), np.arange(40) % 2
    sources = folds(ArrayDataSource(train=(images[:30], labels[:30]), evaluation=(images[30:], labels[30:])), 4)
    assert [source.size("evaluation") for source in sources] == [10] * 4


def test_what_is_too_small_for_folds_is_named(tmp_path):
    draw_folder(tmp_path, {"a": 4, "b": 3, "c": 30})
    source = ImageFolderDataSource(tmp_path, image_size=8, min_images=3)
    with pytest.raises(InputError, match=r"classes too small for 5 folds: a \(4\), b \(3\); each needs 5"):
        folds(source, 5)
    with pytest.raises(InputError, match="the number of folds must be a whole number from 2 to 100, got 1"):
        folds(source, 1)


class Films(ArrayDataSource):
    """Whose train split alone comes in groups."""

    def groups_of(self, split):
        return np.arange(self.size(split)) // 4 if split == "train" else None


def test_groups_of_one_split_are_never_divided_and_the_rest_is_independent():
    images, labels = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8), np.arange(60) % 2
    source = Films(train=(images[:40], labels[:40]), evaluation=(images[40:], labels[40:]))
    for fold in folds(source, 3):
        groups = [set(fold.groups_of(split).tolist()) for split in SPLITS]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 10 + 20
