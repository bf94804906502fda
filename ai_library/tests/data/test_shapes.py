"""Drawn shapes: what the seed decides, which arguments they take, and the table of what they show."""

import json

import numpy as np
import pytest

from ai_library import ArrayExamples, ImageFolderDataSource, InputError, ShapeDataSource, factor_table
from ai_library.tests.pillow_shapes import draw_pillow_folder


@pytest.fixture(scope="module")
def full_source():
    return ShapeDataSource(seed=5, sizes=(5000, 300, 300))


@pytest.mark.slow
def test_every_row_is_the_same_wherever_it_stands_in_a_block(full_source):
    images, _ = full_source.examples("train", range(640))
    for shift in (1, 17, 63):
        moved, _ = full_source.examples("train", range(shift, 640))
        np.testing.assert_array_equal(moved, images[shift:])


@pytest.mark.slow
def test_sources_of_one_seed_are_equal_and_of_two_are_not():
    first, again, other = (ShapeDataSource(seed=seed).examples("train", range(64))[0] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).reshape(64, -1).any(axis=1).all()


@pytest.mark.slow
def test_a_larger_split_begins_with_the_same_examples():
    small, large = ShapeDataSource(sizes=(50, 1, 1)), ShapeDataSource(sizes=(500, 7, 7))
    np.testing.assert_array_equal(small.examples("train", range(50))[0], large.examples("train", range(50))[0])


@pytest.mark.parametrize("image_size", [9, (28, 56)])
def test_a_subclass_that_draws_nothing_may_have_any_shape(image_size):
    class Own(ShapeDataSource):
        def __init__(self):
            super().__init__(image_size=image_size, channels=4, class_names=("a", "b"), ranges=None)

        def load(self, split):
            return np.zeros((3, *self.image_shape), np.uint8), [0, 1, 0]

    source = Own()
    assert source.image_shape == ((9, 9, 4) if image_size == 9 else (28, 56, 4))
    assert source.examples("train", [2])[0].shape == (1, *source.image_shape)
    assert "ranges" not in source.settings()
    assert ShapeDataSource().settings()["ranges"]["outlined"] == 0.5


@pytest.mark.slow
def test_a_subclass_may_change_what_is_drawn():
    class Few(ShapeDataSource):
        def load(self, split):
            return ArrayExamples(*super().load(split)[np.arange(7)])

    source = Few()
    assert source.size("train") == 7
    np.testing.assert_array_equal(source.example("train", 6)[0], ShapeDataSource().example("train", 6)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ("circle", "blob")}, "unknown class 'blob': choose from circle, ellipse"),
        ({"image_size": 0}, "sides from 1 to"),
        ({"image_size": 1}, "too small to be told apart|leave no room"),
        ({"image_size": (28, 56)}, r"image_size must be the side of a square, got \(28, 56\): shapes are drawn on sq"),
        ({"image_size": 28.5}, r"image_size must be a whole number or \(height, width\), got 28.5"),
        ({"image_size": (1, 2, 3)}, r"image_size must be a whole number or \(height, width\), got \(1, 2, 3\)"),
        ({"channels": 2}, "channels must be 1 or 3 for drawn shapes, got 2"),
        ({"channels": 5}, "1 to 4 channels"),
        ({"sizes": (0, 10, 10)}, "size of train must be a whole number from 1 to 4,294,967,295, got 0"),
        ({"sizes": (10, 10.0, 10)}, "size of validation must be .*, got 10.0"),
        ({"sizes": 5}, "sizes must be the numbers of examples in train, validation, evaluation, got 5"),
    ],
)
def test_arguments_of_another_kind_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ShapeDataSource(**arguments)


def test_numpys_whole_numbers_are_whole_numbers():
    source = ShapeDataSource(seed=np.uint8(3), sizes=tuple(np.arange(10, 13)))
    assert json.loads(json.dumps(source.settings()))["sizes"] == {"train": 10, "validation": 11, "evaluation": 12}


@pytest.mark.slow
def test_factors_are_in_units_that_people_read():
    source = ShapeDataSource(seed=1, sizes=(9, 9, 900))
    factors = factor_table(source)
    assert all(values.shape == (900,) for values in factors.values())
    assert factors["class"].tolist() == [
        source.class_names[label] for label in source.examples("evaluation", range(900))[1]
    ]
    assert 0.14 <= factors["size"].min() < factors["size"].max() <= 0.48
    assert 0 <= np.nanmin(factors["rotation"]) < 170 < np.nanmax(factors["rotation"]) <= 180
    np.testing.assert_array_equal(np.isnan(factors["rotation"]), factors["class"] == "circle")
    np.testing.assert_array_equal(np.isnan(factors["aspect"]), ~np.isin(factors["class"], ["ellipse", "rectangle"]))
    np.testing.assert_array_equal(np.isnan(factors["stroke"]), factors["fill"] == "filled")


def test_a_source_that_does_not_know_its_factors_has_no_table(tmp_path):
    draw_pillow_folder(tmp_path, ("circle", "square"), 120)
    assert factor_table(ImageFolderDataSource(tmp_path, image_size=32)) is None
