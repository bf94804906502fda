"""Psychometric curves are those of maximum likelihood, their intervals hold what they say, and what is undefined is
told. How often the intervals hold the truth is counted by `benchmarks/interval_coverage.py`."""

import re

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from ai_library import InputError, PsychometricCurve, ShapeDataSource, evaluate, psychometric
from ai_library.evaluation.metrics import wilson_interval
from ai_library.laboratory.logistic import fit_logistic
from ai_library.laboratory.psychometric import curve_of

LEVELS, CHANCE = np.linspace(0.1, 0.9, 8), 1 / 9


def truth(levels, midpoint, slope, lapse, chance=CHANCE):
    return chance + (1 - chance - lapse) * scipy.special.expit(slope * (levels - midpoint))


def answers(midpoint, slope, lapse, n=500, seed=0):
    """(8, n) right answers, one random number an image."""
    return np.random.default_rng(seed).random(n) < truth(LEVELS, midpoint, slope, lapse)[:, np.newaxis]


@pytest.mark.parametrize("slope", [-12.0, 6.0, 25.0])
@pytest.mark.parametrize("lapse", [0.0, 0.05, 0.2])
def test_a_curve_is_found_again_from_its_expected_counts(slope, lapse):
    fit = fit_logistic(LEVELS, 1000 * truth(LEVELS, 0.45, slope, lapse)[np.newaxis], 1000, CHANCE)
    found = [fit.midpoint[0], fit.slope[0], fit.lapse[0]]
    np.testing.assert_allclose(found, [0.45, slope, lapse], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fit.at(LEVELS, CHANCE)[0], truth(LEVELS, 0.45, slope, lapse), atol=1e-6)


@pytest.mark.slow
def test_fits_are_as_likely_as_the_best_that_scipy_finds():
    rng = np.random.default_rng(2)
    bounds = [(-2, 3), (-150, 150), (0, 0.5)]
    for _ in range(6):
        midpoint, slope, lapse = rng.uniform(0.2, 0.8), rng.choice([-1, 1]) * rng.uniform(4, 25), rng.uniform(0, 0.1)
        n, levels = int(rng.choice([40, 200, 1000])), np.sort(rng.uniform(0.05, 0.95, 6))
        right = rng.binomial(n, truth(levels, midpoint, slope, lapse)).astype(float)

        def loss(found, levels=levels, right=right, n=n):
            p = np.clip(truth(levels, *found), 1e-9, 1 - 1e-9)
            return -(right * np.log(p) + (n - right) * np.log1p(-p)).sum()

        best = min(
            scipy.optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds).fun
            for start in ([midpoint, slope, lapse], [0.5, slope / 2, 0.02], [0.5, 2 * slope, 0.1])
        )
        assert -fit_logistic(levels, right[np.newaxis], n, CHANCE).log_likelihood[0] <= best + 1e-5


def test_the_fits_of_a_bootstrap_are_those_of_each_alone():
    right = np.random.default_rng(0).binomial(300, truth(LEVELS, 0.4, 10, 0.03), size=(20, 8)).astype(float)
    together = fit_logistic(LEVELS, right, 300, CHANCE)
    for i, row in enumerate(right):
        alone = fit_logistic(LEVELS, row[np.newaxis], 300, CHANCE)
        np.testing.assert_allclose([each[0] for each in alone], [each[i] for each in together], rtol=1e-4, atol=1e-6)


def test_the_threshold_is_where_the_curve_reaches_its_target():
    for slope in (10.0, -10.0):
        curve = curve_of("noise", LEVELS, answers(0.5, slope, 0.02), CHANCE, target=0.6)
        root = scipy.optimize.brentq(lambda level, curve=curve: curve.curve(level) - 0.6, 0.1, 0.9)
        assert curve.threshold == pytest.approx(root)
        low, high = curve.threshold_interval
        assert low < curve.threshold < high
        assert curve.notes == ()


def test_the_interval_is_as_wide_as_the_likelihood_is_flat():
    """With independent answers: by Fisher's information and the delta method, which for many answers must agree."""
    rng, n = np.random.default_rng(3), 2000
    curve = curve_of("noise", LEVELS, rng.random((8, n)) < truth(LEVELS, 0.45, 10, 0.05)[:, np.newaxis], CHANCE)
    found = np.array([curve.midpoint, curve.slope, curve.lapse])

    def derivatives(function):
        return scipy.optimize.approx_fprime(found, function, 1e-6)

    def crossing(found):
        share = (0.75 - CHANCE) / (1 - CHANCE - found[2])
        return found[0] + np.log(share / (1 - share)) / found[1]

    p = truth(LEVELS, *found)
    slopes = np.array([derivatives(lambda found, level=level: truth(level, *found)) for level in LEVELS])
    covariance = np.linalg.inv((slopes.T * (n / (p * (1 - p)))) @ slopes)
    deviation = np.sqrt(derivatives(crossing) @ covariance @ derivatives(crossing))
    assert np.ptp(curve.threshold_interval) == pytest.approx(2 * 1.96 * deviation, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hits", "note"),
    [
        (np.ones((8, 100), bool), "No curve: accuracy does not change with the factor by more than chance, it is 100"),
        (np.random.default_rng(0).random((8, 200)) < 0.5, "No curve: accuracy does not change with the factor"),
        (answers(0.5, 1e4, 0), "No curve: accuracy jumps from 1.% to 100% between 0.4429 and 0.5571.*add levels"),
        (answers(0.4, 12, 0.3), "No threshold: the curve stays below 75% at all of these levels"),
        (answers(1.0, 10, 0.0), "No threshold: the curve stays below 75% at all of these levels"),
        (answers(-0.3, 4, 0.0), "No threshold: the curve stays above 75% at all of these levels"),
        (answers(0.4, 12, 0.23, 200, 2), r"No interval: \d+ of 1,000 resampled curves never reach 75%"),
        (answers(0.4, 12, 0)[:3], "No curve: its 3 parameters need 4 levels or more, there are 3"),
    ],
)  # fmt: skip
def test_what_is_not_defined_is_none_and_told(hits, note):
    curve = curve_of("contrast", LEVELS[: len(hits)], hits, CHANCE)
    assert len(curve.notes) == 1
    assert (curve.threshold is None) == ("No interval" not in note)
    assert curve.threshold_interval is None
    assert (curve.midpoint is None) == ("No curve" in note)
    assert np.isnan(curve.curve(0.5)) == ("No curve" in note)
    for text in (str(curve), curve._repr_html_()):
        assert curve.notes[0] in text
    assert re.match(note, curve.notes[0])


def test_points_that_lie_on_no_logistic_curve_are_told():
    hits = np.arange(1000) < np.array([100, 500, 900, 500, 100, 500, 900, 990])[:, np.newaxis]
    assert "do not lie on a logistic curve" in curve_of("size", LEVELS, hits, 0.1).notes[0]


@pytest.mark.slow
def test_a_classifier_is_measured_on_the_same_images_at_each_level(classifier, source):
    levels = [0.9, 0.1, 0.3, 0.5]
    curve = psychometric(classifier, source, "contrast", levels, n=60)
    assert isinstance(curve, PsychometricCurve)
    assert curve.levels.tolist() == sorted(levels)
    assert curve.hits.shape == (4, 60)
    assert curve.chance == pytest.approx(1 / 3)
    for level, hits, row in zip(curve.levels, curve.hits, curve.rows, strict=True):
        np.testing.assert_array_equal(hits, evaluate(classifier, source.fixed("contrast", level, 60)).hits)
        assert row.accuracy == hits.mean()
        assert row.accuracy_interval == wilson_interval(hits.sum(), 60)
    before, after = (source.fixed("contrast", level).factors("evaluation", range(60)) for level in (0.1, 0.9))
    np.testing.assert_allclose(before.size, after.size, rtol=1e-6)


def test_a_curve_shows_itself():
    curve = curve_of("contrast", LEVELS, answers(0.45, 12, 0.02), CHANCE)
    low, high = curve.threshold_interval
    told = f"75% threshold: {curve.threshold:.4g} (95 % interval {low:.4g} to {high:.4g})"
    assert told in str(curve)
    assert f"n = {curve.hits.shape[1]}" in str(curve)
    page = curve._repr_html_()
    assert told in page
    assert "data:image/png;base64," in page
    (axis,) = curve.figure().axes
    assert axis.get_title() == told
    assert axis.get_xlabel() == "contrast"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": [0.2, 0.2, 0.3, 0.4]}, "levels must be different numbers, one or more"),
        ({"levels": []}, "levels must be different numbers, one or more"),
        ({"levels": [0.05, 0.2]}, "range contrast must have 0.1 <= low"),
        ({"factor": "filled"}, "unknown factor 'filled': choose from size, rotation"),
        ({"target": 0.2}, "target must lie between chance, 0.3333, and 1, got 0.2"),
        ({"n": 0}, "n must be a whole number from 1"),
        ({"source": ShapeDataSource(image_size=32)}, "the model was made for the classes"),
        ({"source": None}, "source must be a ShapeDataSource"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_is_refused(classifier, source, change, message):
    arguments = {"source": source, "factor": "contrast", "levels": [0.2, 0.4], "n": 2} | change
    with pytest.raises(InputError, match=message):
        psychometric(classifier, **arguments)
