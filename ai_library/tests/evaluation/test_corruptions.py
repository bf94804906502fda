"""Corruptions are graded, repeatable and independent of the batch; each does what its name says."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import CORRUPTIONS, InputError, ShapeDataSource, corrupt, evaluate, evaluate_corrupted
from ai_library.evaluation.metrics import wilson_interval

kinds = pytest.mark.parametrize("kind", CORRUPTIONS)


@pytest.fixture(scope="module")
def images():
    """Ellipses of any grey on any other (45, 32, 32, 1), drawn without compiling anything."""
    rng = np.random.default_rng(0)
    centres, axes = rng.uniform(10, 22, (45, 2, 1, 1)), rng.uniform(4, 9, (45, 2, 1, 1))
    inside = (((np.indices((32, 32)) - centres) / axes) ** 2).sum(axis=1) < 1
    paper, ink = rng.integers(0, 256, (2, 45, 1, 1))
    return np.where(inside, ink, paper).astype(np.uint8)[..., np.newaxis]


def distance(images, others):
    """Root mean squared difference of each image to the other, (n,)."""
    return np.sqrt(((images.astype(float) - others) ** 2).mean(axis=(1, 2, 3)))


@kinds
def test_each_severity_is_further_from_the_original(kind, images):
    distances = [distance(images, corrupt(images, kind, severity)).mean() for severity in range(6)]
    assert distances[0] == 0
    assert all(np.diff(distances) > 0)


@kinds
@pytest.mark.parametrize("shape", [(2, 28, 28, 1), (2, 16, 24, 3)])
def test_shape_and_type_stay_and_the_input_is_left_alone(kind, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = images.copy()
    corrupted = corrupt(images, kind, 5)
    assert corrupted.shape == shape
    assert corrupted.dtype == np.uint8
    np.testing.assert_array_equal(images, before)


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(sorted(CORRUPTIONS)),
    severity=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    chosen=st.lists(st.integers(0, 11), min_size=1, max_size=12),
)
def test_an_image_is_corrupted_alike_in_any_batch(kind, severity, seed, chosen):
    images = np.random.default_rng(seed).integers(0, 256, (12, 16, 16, 1), np.uint8)
    alone = corrupt(images[chosen], kind, severity, seed, indices=chosen)
    np.testing.assert_array_equal(alone, corrupt(images, kind, severity, seed)[chosen])


@pytest.mark.parametrize("kind", ["noise", "shift", "rotation", "occlusion"])
def test_chance_differs_by_image_and_by_seed(kind, images):
    images = np.repeat(images[8:9], 8, axis=0)
    one, other = corrupt(images, kind, 5, seed=0), corrupt(images, kind, 5, seed=1)
    assert len(np.unique(one, axis=0)) > 1
    assert (one != other).any()


def test_noise_has_the_deviation_that_its_level_says():
    grey = np.full((1, 200, 200, 1), 128, np.uint8)
    noise = (corrupt(grey, "noise", 3) - 128.0) / 255
    assert noise.std() == pytest.approx(CORRUPTIONS["noise"].levels[2], rel=0.02)


def test_blur_spreads_a_point_by_its_level():
    point = np.zeros((1, 101, 101, 1), np.uint8)
    point[0, 49:52, 49:52] = 255
    blurred = corrupt(point, "blur", 5)[0, :, :, 0].astype(float)
    offset = np.arange(101) - 50
    variance = (blurred.sum(axis=0) * offset**2).sum() / blurred.sum()
    assert np.sqrt(variance) == pytest.approx(0.06 * 101, rel=0.1)


def test_shift_moves_by_its_level():
    disc = (np.hypot(*(np.indices((64, 64)) - 31.5)) < 10).astype(np.uint8)[None, :, :, None] * 200
    shifted = corrupt(disc, "shift", 5)[0, :, :, 0].astype(float)
    centre = (np.indices(shifted.shape) * shifted).sum(axis=(1, 2)) / shifted.sum()
    assert np.hypot(*(centre - 31.5)) == pytest.approx(0.16 * 64, abs=0.1)


def test_rotation_turns_by_its_level_to_either_side():
    bar = np.zeros((8, 65, 65, 1), np.uint8)
    bar[:, 31:34, 10:55] = 255
    y, x = np.indices((65, 65)) - 32
    for turned in corrupt(bar, "rotation", 5)[..., 0].astype(float):
        angle = np.degrees(0.5 * np.arctan2(2 * (turned * x * y).sum(), (turned * (x**2 - y**2)).sum()))
        assert abs(angle) == pytest.approx(30, abs=0.5)


def test_occlusion_hides_a_square_of_its_level():
    black = np.zeros((3, 40, 40, 1), np.uint8)
    assert [(image > 0).sum() for image in corrupt(black, "occlusion", 3)] == [12 * 12] * 3


@pytest.mark.parametrize("kind", ["noise", "occlusion", "contrast"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_no_colour(kind, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, channels), np.uint8)
    corrupted = corrupt(images, kind, 5)
    np.testing.assert_array_equal(corrupted[..., -1], images[..., -1])
    if kind == "contrast":
        np.testing.assert_array_equal(corrupted[..., :-1], corrupt(images[..., :-1], kind, 5))


def test_contrast_keeps_the_mean_and_its_level_of_the_difference():
    halves = np.zeros((1, 10, 10, 1), np.uint8)
    halves[:, :5] = 200
    assert np.unique(corrupt(halves, "contrast", 2)).tolist() == [50, 150]


@pytest.mark.slow
def test_accuracy_is_told_for_every_kind_and_severity(classifier, source):
    rows = evaluate_corrupted(classifier, source, n=60)
    assert [row[:3] for row in rows] == [
        ("none", 0, 60),
        *((kind, severity, 60) for kind in CORRUPTIONS for severity in (1, 2, 3, 4, 5)),
    ]
    assert all(row.accuracy == row.correct / 60 for row in rows)
    assert all(row.accuracy_interval[0] <= row.accuracy <= row.accuracy_interval[1] for row in rows)
    assert rows == evaluate_corrupted(classifier, source, n=60)
    assert min(row.accuracy for row in rows if row.severity == 5) < rows[0].accuracy


@pytest.mark.slow
def test_a_split_is_taken_whole_where_it_has_no_more_examples(classifier, source):
    clean = evaluate_corrupted(classifier, source, "validation")[0]
    report = evaluate(classifier, source, "validation")
    assert (clean.n, clean.correct) == (report.n, report.correct)
    assert clean.accuracy_interval == report.accuracy_interval


@pytest.mark.slow
def test_a_model_for_other_classes_is_refused(classifier):
    with pytest.raises(InputError, match="made for the classes"):
        evaluate_corrupted(classifier, ShapeDataSource(image_size=32, class_names=("star", "cross")))


def test_what_cannot_be_corrupted_is_refused(images):
    with pytest.raises(InputError, match="unknown corruption 'snow': choose from noise, blur"):
        corrupt(images, "snow", 1)
    with pytest.raises(InputError, match="severity must be a whole number from 0 to 5, got 6"):
        corrupt(images, "blur", 6)
    with pytest.raises(InputError, match=r"images must be \(b, h, w, c\) of uint8, got .* of float64"):
        corrupt(images / 255, "blur", 1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_a_number_of_images_that_is_none_is_refused(classifier, source, n):
    with pytest.raises(InputError, match=f"n must be a whole number from 1 to 4,294,967,296, got {n}"):
        evaluate_corrupted(classifier, source, n=n)


@pytest.mark.slow
def test_a_thousand_images_take_seconds_for_all_kinds_and_severities():
    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28, 1), np.uint8)
    start = time.process_time()
    for kind in CORRUPTIONS:
        for severity in range(1, 6):
            corrupt(images, kind, severity)
    assert time.process_time() - start < 10


class Films(ShapeDataSource):
    """Shapes in groups of up to eight images of one class, as the frames of a film."""

    def groups_of(self, split):
        labels = self.examples(split, np.arange(self.size(split)))[1]
        within_class = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
        return labels * len(labels) + within_class // 8


@pytest.mark.slow
def test_images_in_groups_have_the_interval_of_groups_with_and_without_corruptions(classifier):
    films = Films(seed=3, image_size=32, class_names=classifier.class_names, sizes=(8, 8, 48))
    clean, *corrupted = evaluate_corrupted(classifier, films)
    assert clean.accuracy_interval == evaluate(classifier, films).accuracy_interval
    of_single_images = {row: wilson_interval(row.correct, row.n) for row in corrupted}
    for row, (low, high) in of_single_images.items():
        assert row.accuracy_interval[0] <= low
        assert row.accuracy_interval[1] >= high
    # A spoilt image is often taken for one class, so that whole films are right or wrong.
    assert any(row.accuracy_interval != single for row, single in of_single_images.items())
