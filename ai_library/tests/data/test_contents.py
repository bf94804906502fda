"""A source is told from one with other images of the same names, sizes and classes."""

import numpy as np
import pytest

from ai_library import DataSource, ShapeDataSource
from ai_library.data.source import SPLITS


@pytest.mark.parametrize("change", ["a pixel", "a label", "the order", "the shape"])
@pytest.mark.parametrize("split", ["train", "validation", "evaluation"])
def test_settings_tell_of_each_split_that_is_in_memory_what_it_holds(split, change):
    class Noise(DataSource):
        def __init__(self, changed=()):
            shape = (2, 8, 1) if "the shape" in changed else (4, 4, 1)
            super().__init__(image_shape=shape, class_names=("dark", "light"))
            self.changed = changed

        def load(self, of):
            images, labels = np.random.default_rng(0).integers(0, 256, (9, 4, 4), np.uint8), np.arange(9) % 2
            if of in self.changed or "the shape" in self.changed:
                images[3, 2, 1] ^= change == "a pixel"
                labels[5] ^= change == "a label"
                order = slice(None, None, -1 if change == "the order" else 1)
                images, labels = images[order].reshape(9, *self.image_shape), labels[order]
            return images, labels

    before = Noise().settings()
    assert Noise().settings() == before
    after = Noise((split, change)).settings()
    changed = {of for of in SPLITS if before["contents"][of] != after["contents"][of]}
    assert changed == (set(SPLITS) if change == "the shape" else {split})


def test_drawn_shapes_are_known_by_what_they_are_drawn_from():
    assert "contents" not in ShapeDataSource(sizes=(2**32 - 1,) * 3).settings()  # which nothing could read
