"""What a subclass of `DataSource` brings, and what is said where it is not what it must be."""

import numpy as np
import pytest

from ai_library import ArrayExamples, DataSource, InputError, ShapeDataSource
from ai_library.data.source import SPLITS


class Grey(DataSource):
    """Six grey images of two classes, unless a hook is given."""

    def __init__(self, load=None, **arguments):
        self.calls = []
        self._given = load or (lambda: (IMAGES, LABELS))
        super().__init__(**({"image_shape": (5, 9, 1), "class_names": ("a", "b")} | arguments))

    def load(self, split):
        self.calls.append(split)
        return self._given()


IMAGES, LABELS = np.arange(6 * 5 * 9, dtype=np.uint8).reshape(6, 5, 9, 1), np.arange(6) % 2


class Gathered:
    """Examples that are neither arrays nor drawn: they come from a function of the indices."""

    def __init__(self, function, n=6):
        self._function, self._n = function, n

    def __len__(self):
        return self._n

    def __getitem__(self, indices):
        return self._function(indices)


@pytest.mark.parametrize("image_shape", [(1, 1, 1), (28, 56, 1), (5, 9, 2), (7, 3, 3), (8, 8, 4)])
def test_a_subclass_overrides_the_hook_and_inherits_the_rest(image_shape):
    class Stripes(DataSource):
        def __init__(self, seed=0):
            super().__init__(seed=seed, image_shape=image_shape, class_names=("dark", "light"))

        def load(self, split):
            labels = np.arange(40) % 2
            return np.broadcast_to(255 * labels[:, None, None, None], (40, *image_shape)).astype(np.uint8), labels

    source = Stripes()
    assert source.num_classes == 2
    assert source.image_shape == image_shape
    assert source.size("evaluation") == 40
    images, labels = next(source.batches("train", 40, 0))
    assert (labels != np.arange(40) % 2).any()
    np.testing.assert_array_equal(images[:, 0, 0, 0], 255 * labels)
    assert source.factors("train", [0]) is None
    assert len(source.show(4).axes) == 4
    assert "40 train, 40 validation, 40 evaluation" in source._repr_html_()
    settings = source.settings()
    assert len(set(settings.pop("contents").values())) == 1
    assert settings == {
        "source": "Stripes",
        "seed": 0,
        "class_names": ["dark", "light"],
        "image_shape": list(image_shape),
        "sizes": dict.fromkeys(("train", "validation", "evaluation"), 40),
    }


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


def test_the_hook_is_called_once_a_split_when_that_is_needed():
    source = Grey()
    assert source.calls == []
    for _ in range(3):
        source.examples("validation", [0, 5])
    assert source.calls == ["validation"]


def test_images_of_one_channel_need_no_axis_for_it():
    images, labels = Grey(lambda: (IMAGES[..., 0], LABELS)).examples("train", [5, 0])
    np.testing.assert_array_equal(images, IMAGES[[5, 0]])
    assert labels.tolist() == [1, 0]


def test_examples_of_any_kind_are_asked_for_their_indices():
    source = Grey(lambda: Gathered(lambda indices: (IMAGES[indices], LABELS[indices].astype(np.uint8))))
    images, labels = source.examples("train", [4, 1])
    np.testing.assert_array_equal(images, IMAGES[[4, 1]])
    assert (labels.dtype, labels.tolist()) == (np.int32, [0, 1])
    assert Grey(lambda: ArrayExamples(IMAGES, LABELS)).size("train") == 6


WRONG = [
    (
        IMAGES / 255,
        LABELS,
        r"images must be uint8 .*, got float64 \(6, 5, 9, 1\): scale them to whole numbers from",
    ),
    (
        IMAGES[:, 1:],
        LABELS,
        r"images must be uint8 \(6, 5, 9, 1\), as the source's image_shape says, got uint8 \(6, 4",
    ),
    (IMAGES, LABELS[:5], r"labels must be integers of shape \(6,\), one an image, got int64 \(5,\)"),
    (IMAGES, np.ones(6), r"got float64 \(6,\)"),
    (IMAGES, LABELS[:, None], r"got int64 \(6, 1\): use labels\[:, 0\]"),
    (IMAGES, np.eye(2)[LABELS], r"got float64 \(6, 2\): use labels.argmax\(axis=1\) if they are one-hot"),
    (IMAGES, LABELS + 1, "labels must be from 0 to 1 for 2 classes, got 1 to 2"),
    (IMAGES, LABELS - 1, "labels must be from 0 to 1 for 2 classes, got -1 to 0"),
]


@pytest.mark.parametrize(("images", "labels", "message"), WRONG)
def test_arrays_that_are_not_what_the_source_says_are_refused_with_class_and_split(images, labels, message):
    for load in (lambda: (images, labels), lambda: [images, labels]):
        with pytest.raises(InputError, match=rf"Grey.load\('validation'\): .*{message}"):
            Grey(load).size("validation")


@pytest.mark.parametrize(("images", "labels", "message"), WRONG)
def test_other_examples_are_checked_on_each_access(images, labels, message):
    source = Grey(lambda: Gathered(lambda indices: (images[: len(indices)], labels[: len(indices) or None])))
    assert source.size("train") == 6
    with pytest.raises(InputError, match=rf"Grey.load\('train'\): .*{message}"):
        source.examples("train", range(6))


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (None, r"Grey.load\('train'\) must return \(images, labels\) or Examples, got NoneType"),
        (IMAGES, "got ndarray"),
        ((IMAGES,), "got tuple of 1"),
        ((IMAGES, LABELS, 2), "got tuple of 3"),
        ({"images": IMAGES}, "got dict"),
        ((IMAGES[:0], LABELS[:0]), "must have 1 example or more, got none"),
        (([[1], [2, 3]], LABELS), "images must be one array, got list"),
        ((IMAGES, 2**32 + LABELS), "labels must be the numbers of classes, got 4294967296 to 4294967297"),
        (Gathered(lambda _: None), r"load\('train'\)\[indices\] must be \(images, labels\), got NoneType"),
        (Gathered(lambda _: (IMAGES, LABELS), 0), "must have 1 example or more"),
        (Gathered(lambda _: (IMAGES, LABELS)), r"images must be uint8 \(2, 5, 9, 1\), .* got uint8 \(6, 5, 9, 1\)"),
    ],
)
def test_a_hook_that_returns_something_else_is_told_so(loaded, message):
    with pytest.raises(InputError, match=message):
        Grey(lambda: loaded).examples("train", [0, 1])


def test_a_hook_that_asks_for_its_own_size_is_told_so():
    sources = []
    sources.append(Grey(lambda: (IMAGES[: sources[0].size("train")], LABELS)))
    with pytest.raises(InputError, match=r"Grey.load\('train'\) must not use the size or the examples of 'train'"):
        sources[0].size("train")


def test_a_source_without_the_hook_cannot_be_made():
    class Nothing(DataSource):
        pass

    class Wrapped(Grey):
        load = None

    for kind in (DataSource, Nothing):
        with pytest.raises(InputError, match=rf"{kind.__name__} has no load: define load\(self, split\) in a subclass"):
            kind(image_shape=(5, 9, 1), class_names=("a", "b"))
    with pytest.raises(InputError, match="Nothing has no load: define load"):
        type("Nothing", (ShapeDataSource,), {})(image_size=9, class_names=("a", "b"), ranges=None)
    with pytest.raises(InputError, match="Wrapped.load must take one argument, the split"):
        Wrapped()


@pytest.mark.parametrize("base", [DataSource, Grey, ShapeDataSource])
@pytest.mark.parametrize("name", ["_load", "Load", "laod", "loads", "load_split", "_laod"])
def test_a_misspelt_hook_is_named_though_another_would_be_called(base, name):
    arguments = {"class_names": ("star", "cross")} | ({} if base is ShapeDataSource else {"image_shape": (5, 9, 1)})
    kind = type("Own", (type("Between", (base,), {name: lambda self, split: (IMAGES, LABELS)}),), {})
    with pytest.raises(InputError, match=rf"Own defines {name}, which nothing calls: rename it to load\(self, split\)"):
        kind(**arguments)


def test_a_helper_beside_the_hook_or_one_that_a_base_knows_is_none_of_its_misspellings():
    class Base(Grey):
        def load(self, split):
            return self.load_images(), LABELS

        def load_images(self):
            return IMAGES

    class Inverted(Base):
        def load_images(self):
            return 255 - IMAGES

        def download(self):
            pass

    np.testing.assert_array_equal(Inverted().example("train", 3)[0], 255 - IMAGES[3])


@pytest.mark.parametrize("load", [lambda self: (IMAGES, LABELS), lambda self, split, more: (IMAGES, LABELS)])
def test_a_hook_that_takes_something_else_than_a_split_is_told_so(load):
    with pytest.raises(InputError, match="Own.load must take one argument, the split: "):
        type("Own", (Grey,), {"load": load})()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"image_shape": (5, 9)},
            r"image shape must be \(height, width, channels\) with sides from 1 .*\(5, 9\)",
        ),
        ({"image_shape": (5, 9, 5)}, "1 to 4 channels"),
        ({"class_names": "ab"}, "class_names must be a tuple of names, got 'ab'"),
        ({"class_names": (0, 1)}, "a class name must be printable text, got 0: rename it"),
        ({"class_names": (["a"], ["b"])}, "a class name must be printable text"),
        ({"class_names": ("a",)}, "class_names must be 2 names or more, each once"),
        ({"class_names": ("a", "a")}, "each once"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4,294,967,295, got -1"),
        ({"seed": 1.5}, "seed must be .*, got 1.5"),
    ],
)
def test_arguments_of_another_kind_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Grey(**arguments)
