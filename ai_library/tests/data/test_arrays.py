"""Arrays become a source that trains, and say what they lack."""

import numpy as np
import pytest

from ai_library import ArrayDataSource, InputError, TrainConfig, Trainer, evaluate
from ai_library.tests.own_networks import Linear

pytestmark = pytest.mark.usefixtures("quickly_compiled")

RNG = np.random.default_rng(0)
LABELS = np.arange(90) % 3
IMAGES = RNG.integers(0, 64, (90, 8, 12, 4), np.uint8) + 80 * LABELS[:, None, None, None].astype(np.uint8)
PAIR = IMAGES, LABELS
SPLITS = ("train", "validation", "evaluation")


@pytest.mark.slow
def test_arrays_train_and_are_evaluated():
    source = ArrayDataSource(train=PAIR, validation=PAIR, evaluation=PAIR, class_names=("low", "middle", "high"))
    config = TrainConfig(epochs=8, batch_size=16, learning_rate=0.02)
    classifier = Trainer(Linear(3), source, config, run_dir=False).fit()
    assert classifier.class_names == ("low", "middle", "high")
    assert evaluate(classifier, source).accuracy > 0.9


def test_every_split_has_the_arrays_it_was_given():
    pairs = {split: (IMAGES[start::3], LABELS[start::3]) for start, split in enumerate(SPLITS)}
    source = ArrayDataSource(**pairs, class_names=("a", "b", "c"))
    for split, (images, labels) in pairs.items():
        found, found_labels = source.examples(split, range(30))
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(found_labels, labels)
    assert source.image_shape == (8, 12, 4)


def test_grey_images_need_no_axis_for_their_channel_and_lists_are_arrays():
    source = ArrayDataSource(train=(IMAGES[..., 0], LABELS.tolist()))
    assert source.image_shape == (8, 12, 1)
    np.testing.assert_array_equal(source.example("train", 7)[0], IMAGES[7, ..., :1])


def test_classes_without_names_are_named_by_their_numbers():
    assert ArrayDataSource(train=PAIR).class_names == ("0", "1", "2")


@pytest.mark.parametrize("labels", [LABELS + 1, 2 * LABELS, LABELS - 1, 0 * LABELS])
def test_labels_that_skip_a_number_want_names(labels):
    with pytest.raises(InputError, match="class_names must be given unless train has every label from 0 up"):
        ArrayDataSource(train=(IMAGES, labels))


@pytest.mark.parametrize("part", [0.1, 0.34, 0.5, 0.99])
def test_a_part_of_each_class_is_held_out_for_validation(part):
    labels = np.repeat([0, 1, 2], [60, 29, 1])
    whole = np.arange(90, dtype=np.uint8).repeat(4).reshape(90, 2, 2)
    source = ArrayDataSource(train=(whole, labels), validation=part, class_names=("a", "b", "c"))
    (images, train), (held_out, validation) = (source.examples(s, range(source.size(s))) for s in SPLITS[:2])
    assert sorted([*images[:, 0, 0, 0], *held_out[:, 0, 0, 0]]) == list(range(90))
    assert np.bincount(validation, minlength=3).tolist() == [round(part * 60), min(round(part * 29), 28), 0]
    assert np.unique(train).tolist() == [0, 1, 2]  # each keeps one example at least
    again = ArrayDataSource(train=(whole, labels), validation=part, class_names=("a", "b", "c"), seed=1)
    np.testing.assert_array_equal(again.examples("validation", range(len(validation)))[0], held_out)


def test_a_split_that_was_not_given_is_named_when_it_is_needed():
    source = ArrayDataSource(train=PAIR)
    assert source.settings()["sizes"] == {"train": 90}
    assert "90 train</p>" in source._repr_html_()
    with pytest.raises(InputError, match=r"no validation examples: make it with validation=\(images, labels\) or v"):
        source.size("validation")
    with pytest.raises(InputError, match=r"no evaluation examples: make it with evaluation=\(images, labels\)$"):
        source.examples("evaluation", [0])


def test_settings_tell_any_two_contents_apart():
    images, labels = IMAGES.copy(), LABELS.copy()
    images[70, 3, 4, 1] ^= 1
    labels[70] = (labels[70] + 1) % 3
    found = [ArrayDataSource(train=pair).settings()["contents"] for pair in (PAIR, (images, LABELS), (IMAGES, labels))]
    found.append(ArrayDataSource(train=PAIR, evaluation=PAIR).settings()["contents"])
    found.append(ArrayDataSource(train=PAIR, validation=PAIR).settings()["contents"])
    assert len(set(map(str, found))) == 5
    assert ArrayDataSource(train=(np.asfortranarray(IMAGES), LABELS.astype(np.int8))).settings()["contents"] == found[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"train": (IMAGES / 255, LABELS)},
            r"train=\(images, labels\)\): images must be uint8.*float64.*scale them",
        ),
        ({"train": (IMAGES, LABELS[:7])}, r"labels must be integers of shape \(90,\)"),
        ({"train": None}, r"train must be \(images, labels\), got None"),
        ({"train": IMAGES}, r"train must be \(images, labels\), got ndarray"),
        (
            {"train": (IMAGES[0, ..., 0], LABELS)},
            r"\(n, h, w, c\) or \(n, h, w\), got uint8 \(8, 12\)",
        ),
        ({"train": (IMAGES[:0], LABELS[:0])}, "class_names must be given"),
        ({"train": (IMAGES[:0], LABELS[:0]), "class_names": ("a", "b")}, "must have 1 example or more"),
        ({"class_names": ("a", "b")}, "labels must be from 0 to 1 for 2 classes, got 0 to 2"),
        ({"validation": (IMAGES[:, 1:], LABELS)}, r"validation=.*image_shape says, got uint8 \(90, 7, 12, 4\)"),
        ({"evaluation": (IMAGES, LABELS + 1)}, "evaluation=.*labels must be from 0 to 2 for 3 classes, got 1 to 3"),
        ({"evaluation": 0.1}, r"evaluation must be \(images, labels\), got float"),
        ({"validation": 1}, r"validation must be \(images, labels\) or a number between 0 and 1, got 1"),
        ({"validation": 0.001}, "validation=0.001 takes no example of 90: give a larger part"),
    ],
)
def test_arrays_of_another_kind_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ArrayDataSource(**({"train": PAIR} | arguments))
