"""What every data source promises: pure examples, exact batches, splits that never meet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import SHAPES, InputError, ShapeDataSource
from ai_library.tests.memory import peak_bytes


@pytest.fixture(scope="module")
def full_source():
    return ShapeDataSource(seed=5, image_size=16, sizes=(5000, 300, 300))


@pytest.mark.slow
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


@pytest.mark.slow
def test_splits_share_no_example(full_source):
    seen = [full_source.examples(split, range(300))[0] for split in ("train", "validation", "evaluation")]
    assert len({image.tobytes() for images in seen for image in images}) == 900


@pytest.mark.slow
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


@pytest.mark.slow
def test_full_batches_have_one_size_and_leave_nothing_out(full_source):
    batches = list(full_source.batches("validation", 128, 0, full=True))
    assert [len(images) for images, _ in batches] == [128, 128, 128]
    assert len({image.tobytes() for images, _ in batches for image in images}) == 300


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
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


@pytest.mark.slow
def test_epochs_have_their_own_order_and_keep_it(full_source):
    def order(epoch):
        return np.concatenate([labels for _, labels in full_source.batches("validation", 100, epoch)])

    np.testing.assert_array_equal(order(2), order(2))
    assert (order(1) != order(2)).any()


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [None, 3])
def test_an_epoch_goes_on_in_its_middle_as_it_would_have_come_there(full_source, epoch):
    whole = list(full_source.batches("validation", 64, epoch, full=True))
    rest = list(full_source.batches("validation", 64, epoch, first=3, full=True))
    assert len(rest) == 2
    for (images, labels), (wanted, wanted_labels) in zip(rest, whole[3:], strict=True):
        np.testing.assert_array_equal(images, wanted)
        np.testing.assert_array_equal(labels, wanted_labels)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [None, 3])
def test_an_epoch_of_billions_of_examples_begins_at_once_and_in_no_memory(epoch):
    source = ShapeDataSource(image_size=16, sizes=(2**32 - 1, 1, 1))
    next(source.batches("train", 64, epoch))  # compiles
    assert peak_bytes(lambda: next(source.batches("train", 64, epoch, first=2**26 - 1))) < 1e6
    images, _ = next(source.batches("train", 64, epoch, first=2**26 - 1))
    assert images.shape == (63, 16, 16, 1)


@pytest.mark.slow
def test_show_draws_each_image_under_its_class_name(full_source):
    figure = full_source.show(9)
    assert [axis.get_title() for axis in figure.axes] == list(SHAPES)


def test_unknown_split_batch_size_and_index_are_named(full_source):
    with pytest.raises(InputError, match="unknown split 'test': choose from train, validation, evaluation"):
        full_source.example("test", 0)
    with pytest.raises(InputError, match="batch_size must be 1 or more, got 0"):
        next(full_source.batches("train", 0))
    with pytest.raises(InputError, match="0 to 299, not 300"):
        full_source.example("validation", 300)


@pytest.mark.parametrize("indices", [np.ones(300, bool), [3.9], 3, [[0, 1]]])
def test_indices_that_are_none_are_refused(full_source, indices):
    """A mask would else be taken for many times the examples 0 and 1."""
    with pytest.raises(
        InputError, match=r"indices must be whole numbers \(b,\), got .*; np.flatnonzero gives those of"
    ):
        full_source.examples("validation", indices)
