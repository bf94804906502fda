"""What every data source promises: pure examples, exact batches, splits that never meet, one hook."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import SHAPES, ArrayExamples, InputError, ShapeDataSource


@pytest.fixture(scope="module")
def full_source():
    return ShapeDataSource(seed=5, sizes=(5000, 300, 300))


@settings(max_examples=50, deadline=None)
@given(
    split=st.sampled_from(["train", "validation", "evaluation"]),
    indices=st.lists(st.integers(0, 299), min_size=1, max_size=150),
    data=st.data(),
)
def test_an_example_has_the_same_bits_in_every_batch(full_source, split, indices, data):
    images, labels = full_source.examples(split, indices)
    row = data.draw(st.integers(0, len(indices) - 1))
    image, label = full_source.example(split, indices[row])
    np.testing.assert_array_equal(images[row], image)
    assert labels[row] == label == indices[row] % 9


def test_every_row_is_the_same_wherever_it_stands_in_a_block(full_source):
    images, _ = full_source.examples("train", range(640))
    for shift in (1, 17, 63):
        moved, _ = full_source.examples("train", range(shift, 640))
        np.testing.assert_array_equal(moved, images[shift:])


def test_sources_of_one_seed_are_equal_and_of_two_are_not():
    first, again, other = (ShapeDataSource(seed=seed).examples("train", range(64))[0] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).reshape(64, -1).any(axis=1).all()


def test_splits_share_no_example(full_source):
    seen = [full_source.examples(split, range(300))[0] for split in ("train", "validation", "evaluation")]
    assert len({image.tobytes() for images in seen for image in images}) == 900


def test_a_larger_split_begins_with_the_same_examples():
    small, large = ShapeDataSource(sizes=(50, 1, 1)), ShapeDataSource(sizes=(500, 7, 7))
    np.testing.assert_array_equal(small.examples("train", range(50))[0], large.examples("train", range(50))[0])


@settings(max_examples=30, deadline=None)
@given(batch_size=st.integers(1, 400), epoch=st.none() | st.integers(0, 5), first=st.integers(0, 3))
def test_batches_hold_every_example_once(full_source, batch_size, epoch, first):
    sizes, pixels = [], []
    for images, labels in full_source.batches("validation", batch_size, epoch, first=first):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert len(images) == len(labels)
        sizes.append(len(images))
        pixels += [image.tobytes() for image in images]
    assert len(set(pixels)) == len(pixels) == max(0, 300 - first * batch_size)
    assert all(size == batch_size for size in sizes[:-1])


def test_full_batches_have_one_size_and_leave_nothing_out(full_source):
    batches = list(full_source.batches("validation", 128, 0, full=True))
    assert [len(images) for images, _ in batches] == [128, 128, 128]
    assert len({image.tobytes() for images, _ in batches for image in images}) == 300


@settings(max_examples=30, deadline=None)
@given(batch_size=st.integers(1, 200), parts=st.integers(1, 5), full=st.booleans(), epoch=st.none() | st.integers(0, 5))
def test_the_parts_of_a_batch_are_together_the_batch(full_source, batch_size, parts, full, epoch):
    each = [
        full_source.batches("validation", batch_size, epoch, full=full, part=(index, parts)) for index in range(parts)
    ]
    whole = full_source.batches("validation", batch_size, epoch, full=full)
    for (images, labels), *shares in zip(whole, *each, strict=True):
        np.testing.assert_array_equal(np.concatenate([share[0] for share in shares]), images)
        np.testing.assert_array_equal(np.concatenate([share[1] for share in shares]), labels)
        assert max(len(share[1]) for share in shares) - min(len(share[1]) for share in shares) <= 1


def test_epochs_have_their_own_order_and_keep_it(full_source):
    def order(epoch):
        return np.concatenate([labels for _, labels in full_source.batches("validation", 100, epoch)])

    np.testing.assert_array_equal(order(2), order(2))
    assert (order(1) != order(2)).any()


@pytest.mark.parametrize("epoch", [None, 3])
def test_an_epoch_goes_on_in_its_middle_as_it_would_have_come_there(full_source, epoch):
    whole = list(full_source.batches("validation", 64, epoch, full=True))
    rest = list(full_source.batches("validation", 64, epoch, first=3, full=True))
    assert len(rest) == 2
    for (images, labels), (wanted, wanted_labels) in zip(rest, whole[3:], strict=True):
        np.testing.assert_array_equal(images, wanted)
        np.testing.assert_array_equal(labels, wanted_labels)


@pytest.mark.parametrize("epoch", [None, 3])
def test_an_epoch_of_billions_of_examples_begins_at_once_and_in_no_memory(epoch):
    source = ShapeDataSource(image_size=16, sizes=(2**32 - 1, 1, 1))
    next(source.batches("train", 64, epoch))  # compiles
    tracemalloc.start()
    try:
        images, _ = next(source.batches("train", 64, epoch, first=2**26 - 1))
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert images.shape == (63, 16, 16, 1)


def test_a_subclass_overrides_the_hook_and_inherits_the_rest():
    class Stripes(ShapeDataSource):
        def __init__(self, seed=0):
            super().__init__(seed=seed, image_size=16, class_names=("across", "down"), ranges=None)

        def _load(self, split):
            labels = np.arange(40) % 2
            stripes = np.tile(np.arange(16) % 4 // 2 * 255, (16, 1)).astype(np.uint8)
            return ArrayExamples(np.stack([stripes, stripes.T])[labels][..., None], labels)

    source = Stripes()
    assert source.num_classes == 2
    assert source.image_shape == (16, 16, 1)
    assert source.size("evaluation") == 40
    images, labels = next(source.batches("train", 40, 0))
    np.testing.assert_array_equal(np.ptp(images[:, 0, :, 0], axis=1), 255 * (labels == 0))
    assert source.factors("train", [0]) is None
    assert len(source.show(4).axes) == 4


IMAGES = np.zeros((6, 16, 16, 1), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, np.arange(6) % 2, r"images are float64\(6, 16, 16, 1\): they need to be uint8 \(n, h, w, c\)"),
        (IMAGES[..., 0], np.arange(6) % 2, r"images are uint8\(6, 16, 16\)"),
        (IMAGES, np.arange(5) % 2, r"labels are int64\(5,\): they need to be a whole number for each image"),
        (IMAGES, np.ones(6), r"labels are float64\(6,\)"),
        (IMAGES, 2**32 + np.arange(6) % 2, "labels run from 4294967296 to 4294967297"),
        (IMAGES, np.arange(6) % 2 + 1, "the train split has labels from 1 to 2: the 2 classes have 0 to 1"),
        (IMAGES, np.arange(6) % 2 - 1, "labels from -1 to 0"),
        (
            IMAGES[:, 1:],
            np.arange(6) % 2,
            r"the train split has images \(15, 16, 1\), but the source says \(16, 16, 1\)",
        ),
    ],
)
def test_what_a_subclass_loads_has_to_fit(images, labels, message):
    class Own(ShapeDataSource):
        def _load(self, split):
            return ArrayExamples(images, labels)

    with pytest.raises(InputError, match=message):
        list(Own(image_size=16, class_names=("a", "b"), ranges=None).batches("train", 6))


def test_show_draws_each_image_under_its_class_name(full_source):
    figure = full_source.show(9)
    assert [axis.get_title() for axis in figure.axes] == list(SHAPES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ("circle", "blob")}, "unknown class 'blob': choose from circle, ellipse"),
        ({"class_names": ("circle", "circle")}, "each once"),
        ({"class_names": (0, 1)}, "class name 0 does not fit: it needs to be printable text"),
        ({"image_size": 0}, "sides from 1 to"),
        ({"channels": 5}, "1 to 4 channels"),
        ({"class_names": "ab", "ranges": None}, "class_names='ab' do not fit: give a tuple"),
        ({"class_names": (["a"], ["b"])}, "class name .* needs to be printable text"),
        ({"sizes": (0, 10, 10)}, "size of train must be a whole number from 1 to 4,294,967,295, got 0"),
        ({"sizes": (10, 10.0, 10)}, "size of validation must be .*, got 10.0"),
        ({"sizes": 5}, "sizes=5 do not fit"),
        ({"seed": -1}, "seed must be .*, got -1"),
        ({"seed": 1.5}, "seed must be a whole number from 0 to 4,294,967,295, got 1.5"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ShapeDataSource(**arguments)


def test_unknown_split_batch_size_and_index_are_named(full_source):
    with pytest.raises(InputError, match="unknown split 'test': choose from train, validation, evaluation"):
        full_source.example("test", 0)
    with pytest.raises(InputError, match="batch_size=0"):
        next(full_source.batches("train", 0))
    with pytest.raises(InputError, match="0 to 299, not 300"):
        full_source.example("validation", 300)


@pytest.mark.parametrize("indices", [np.ones(300, bool), [3.9], 3, [[0, 1]]])
def test_indices_that_are_none_are_refused(full_source, indices):
    """A mask would else be taken for many times the examples 0 and 1."""
    with pytest.raises(InputError, match=r"they need to be whole numbers \(b,\); np.flatnonzero gives those of a mask"):
        full_source.examples("validation", indices)


def test_numpys_whole_numbers_are_whole_numbers():
    source = ShapeDataSource(seed=np.uint8(3), sizes=tuple(np.arange(10, 13)))
    assert json.loads(json.dumps(source.settings()))["sizes"] == {"train": 10, "validation": 11, "evaluation": 12}
