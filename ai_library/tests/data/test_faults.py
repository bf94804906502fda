"""Faults have the shares that were asked for, in train and validation alone, and can be told."""

import numpy as np
import pytest
import scipy.stats

from ai_library import SHAPES, FactorGrid, InputError, ShapeDataSource, ShapeRanges, SpuriousCue

pytestmark = pytest.mark.usefixtures("quickly_compiled")

N = 20_000
FOUR = SHAPES[5:]


def source(**faults):
    return ShapeDataSource(seed=6, image_size=32, class_names=FOUR, sizes=(N, N, 5000), **faults)


def labels_of(noisy, split):
    """The labels, and the classes that are shown: the images themselves take longer."""
    labels, factors = noisy._examples(split).labels_and_factors(np.arange(noisy.size(split)))
    return labels, factors.label


def likely(count, n, share):
    return scipy.stats.binomtest(int(count), n, share).pvalue > 1e-4


@pytest.mark.slow
def test_wrong_labels_have_their_share_and_are_spread_evenly():
    noisy = source(label_noise=0.2)
    for split in ("train", "validation"):
        labels, shown = labels_of(noisy, split)
        wrong = noisy.mislabelled(split)
        np.testing.assert_array_equal(wrong, labels != shown)
        assert likely(wrong.sum(), N, 0.2)
        assert scipy.stats.chisquare(np.bincount((labels - shown)[wrong] % 4)[1:]).pvalue > 1e-4
        assert scipy.stats.chisquare(np.bincount(shown[wrong])).pvalue > 1e-4
    assert (labels_of(noisy, "train")[0] != labels_of(noisy, "validation")[0]).any()


@pytest.mark.slow
def test_labels_that_are_given_are_those_that_are_told():
    noisy = source(label_noise=0.2)
    images, labels = noisy.examples("train", range(300))
    np.testing.assert_array_equal(labels != noisy.factors("train", range(300)).label, noisy.mislabelled("train")[:300])
    np.testing.assert_array_equal(images, source().examples("train", range(300))[0])  # only labels change


@pytest.mark.slow
def test_evaluation_is_clean():
    faulty = source(label_noise=0.5, class_shares=(1, 2, 3, 4), spurious=SpuriousCue("contrast", 1.0))
    for found, wanted in zip(*[each.examples("evaluation", range(300)) for each in (faulty, source())], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert not faulty.mislabelled("evaluation").any()
    assert faulty.mislabelled("validation").any()


@pytest.mark.slow
def test_a_confusion_matrix_gives_the_labels_of_each_class():
    matrix = np.array([[0.7, 0.3, 0, 0], [0, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], [0, 0, 0.5, 0.5]])
    labels, shown = labels_of(source(label_noise=matrix), "train")
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (shown, labels), 1)
    assert (counts[matrix == 0] == 0).all()
    for row, probabilities in zip(counts, matrix, strict=True):
        for count, share in zip(row, probabilities, strict=True):
            assert likely(count, row.sum(), share)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(1, 1, 1, 1), (10, 1, 1, 1), (0.6, 0.3, 0.09, 0.01), (3, 1, 4, 1)])
def test_the_first_images_have_their_share_of_each_class_wherever_one_stops(shares):
    shown = labels_of(source(class_shares=shares), "train")[1]
    counts = (shown[:, np.newaxis] == np.arange(4)).cumsum(axis=0)
    wanted = np.arange(1, N + 1)[:, np.newaxis] * np.array(shares) / sum(shares)
    assert np.abs(counts - wanted).max() < 5


@pytest.mark.slow
@pytest.mark.parametrize(("share", "cells"), [(0.0, None), (0.7, None), (1.0, None), (0.9, 3)])
def test_a_cue_goes_with_the_class_in_its_share_of_the_images(share, cells):
    cued, parts = source(spurious=SpuriousCue("contrast", share, cells)), cells or 4
    for split, wanted in (("train", share), ("evaluation", 0.0)):
        factors = cued.factors(split, range(cued.size(split)))
        found = np.clip((factors.contrast - 0.3) / 0.7 * parts, 0, parts - 1e-6).astype(int)
        assert likely((found == factors.label % parts).sum(), len(found), min(wanted + (1 - wanted) / parts, 1))
        assert 0.3 <= factors.contrast.min() < 0.301
        assert 0.999 < factors.contrast.max() <= 1
    assert not cued.mislabelled("train").any()


@pytest.mark.slow
@pytest.mark.parametrize("factor", ["filled", "polarity"])
def test_a_cue_of_two_values_goes_with_every_other_class(factor):
    factors = source(spurious=SpuriousCue(factor, 1.0)).factors("train", range(2000))
    light = factors.foreground.mean(axis=1) > factors.background.mean(axis=1)
    np.testing.assert_array_equal(factors.filled if factor == "filled" else light, factors.label % 2 == 1)


@pytest.mark.slow
def test_faults_and_held_out_combinations_go_together():
    grid = FactorGrid(size=3, noise=2)
    both = ShapeDataSource(
        seed=6, image_size=32, class_names=FOUR, sizes=(N, N, 500), hold_out=grid.cells({"size": 2, "noise": 1}),
        label_noise=0.2, class_shares=(4, 3, 2, 1), spurious=SpuriousCue("polarity", 0.9),
    )  # fmt: skip
    factors = both.factors("train", range(N))
    assert not ((factors.size / 32 > 0.3668) & (factors.noise > 0.0301)).any()
    np.testing.assert_allclose(np.bincount(factors.label) / N, [0.4, 0.3, 0.2, 0.1], atol=5 / N)
    assert likely(both.mislabelled("train").sum(), N, 0.2)
    assert not both.mislabelled("held_out").any()
    assert likely((both.factors("held_out", range(500)).label == 0).sum(), 500, 0.25)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"label_noise": 1.5}, "label_noise must be from 0 to 1, of 2 classes or more, got 1.5"),
        ({"label_noise": np.nan}, "label_noise must be from 0 to 1"),
        ({"label_noise": np.ones((4, 4))}, r"each row of which sums to 1, got \(4, 4\) with sums \[4. 4. 4. 4.\]"),
        ({"label_noise": np.eye(3)}, r"a matrix \(4, 4\)"),
        ({"class_shares": (1, 2, 3)}, "class_shares must be a positive number for each of 4 classes"),
        ({"class_shares": (1, 2, 3, 0)}, "leave classes without images out"),
        ({"spurious": SpuriousCue("aspect", 1)}, "pentagon, hexagon, star, cross have no aspect"),
        ({"spurious": SpuriousCue("stroke", 1)}, "filled shapes have no stroke"),
        ({"spurious": SpuriousCue("filled", 1), "ranges": ShapeRanges(outlined=1)}, "filled cannot be a cue where"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_is_refused(faults, message):
    with pytest.raises(InputError, match=message):
        source(**faults)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hue", 1), "unknown factor 'hue'"),
        (("size", 1.1), "from 0 to 1, got 1.1"),
        (("size", 1, 1), "from 2 to 4,096"),
    ],
)
def test_a_cue_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SpuriousCue(*arguments)


@pytest.mark.slow
def test_one_factor_can_be_fixed_and_the_others_stay():
    plain = source()
    fixed = plain.fixed("contrast", 0.15, n=40)
    assert fixed.size("evaluation") == 40
    assert plain.size("evaluation") == 5000
    before, after = plain.factors("evaluation", range(40)), fixed.factors("evaluation", range(40))
    np.testing.assert_allclose(after.contrast, 0.15)
    for name in ("label", "center", "size", "rotation", "noise", "filled", "stroke", "blur"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-5)
    assert fixed.settings()["ranges"]["contrast"] == (0.15, 0.15)
    with pytest.raises(InputError, match="unknown factor 'filled'"):
        plain.fixed("filled", 1)
    with pytest.raises(InputError, match="range contrast must have 0.1 <= low"):
        plain.fixed("contrast", 0.05)
    held = source(hold_out=FactorGrid(contrast=3).row("contrast"))
    with pytest.raises(InputError, match="contrast must not be a factor of hold_out"):
        held.fixed("contrast", 0.5)
