"""The lines through the errors of a study, held against scipy and laws that are known."""

import numpy as np
import pytest
import scipy.stats

from ai_library import InputError, learning_curve, noise_curve

from .test_statistics import results

IMAGES = {"many": 1600, "few": 100, "some": 400}


def study(errors, **more):
    """Of errors (n, 3) at 100, 400 and 1600 images."""
    return results({name: 1 - np.asarray(errors)[:, i] for i, name in enumerate(("few", "some", "many"))}, **more)


def test_a_power_law_is_found_again():
    curve = learning_curve(study([[0.2, 0.1, 0.05]]), IMAGES)
    assert curve.slope.value == pytest.approx(-0.5)
    assert curve.factor.value == pytest.approx(2)
    assert curve.at(6400).value == pytest.approx(0.025)
    assert curve.levels.tolist() == [100, 400, 1600]
    assert "error = 2 * x ^ s, s = -0.5000 (no interval), 1 seed" in str(curve)


def test_the_exponent_is_the_mean_of_those_of_the_seeds():
    errors = np.array([[0.21, 0.12, 0.05], [0.25, 0.1, 0.06], [0.2, 0.09, 0.055]])
    curve = learning_curve(study(errors), IMAGES)
    slopes = [scipy.stats.linregress(np.log([100, 400, 1600]), np.log(row)).slope for row in errors]
    interval = scipy.stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert curve.slope == pytest.approx((np.mean(slopes), *interval))
    assert [each.value for each in curve.at_levels] == pytest.approx(errors.mean(axis=0).tolist())


@pytest.mark.slow
def test_its_interval_holds_the_true_exponent_in_95_percent_of_studies():
    rng, law, held = np.random.default_rng(0), 2 * np.array([100, 400, 1600]) ** -0.5, 0
    for _ in range(2_000):
        spread = rng.normal(0, 0.05, (5, 1)) + rng.normal(0, 0.1, (5, 3))  # the first is shared by the runs of a seed
        low, high = learning_curve(study(law * np.exp(spread)), IMAGES).slope[1:]
        held += low <= -0.5 <= high
    assert 0.93 <= held / 2_000 <= 0.97


def test_noise_has_a_straight_line():
    curve = noise_curve(study([[0.1, 0.2, 0.3], [0.1, 0.22, 0.34]]), {"few": 0.0, "some": 0.2, "many": 0.4})
    assert curve.slope.value == pytest.approx(0.55)
    assert curve.factor.value == pytest.approx(0.1)
    assert curve.at(0.2).value == pytest.approx(0.21)
    assert "error = 0.1 + s x, s = 0.5500 (" in str(curve)


def test_seeds_that_lack_a_level_are_left_out_and_counted():
    values = {"few": [0.8, 0.81, 0.79], "some": [0.9, None, 0.91], "many": [0.95, 0.96, 0.94]}
    curve = learning_curve(results(values), IMAGES)
    assert curve.errors.shape == (2, 3)
    assert "left out, without an error at one of the levels: 1 seed" in str(curve)


def test_a_loss_is_an_error_itself():
    found = study([[0.2, 0.1, 0.05]])
    rows = {each: {**row, "log_loss": 1 - row["accuracy"]} for each, row in found.runs.items()}
    loss = learning_curve(type(found)(conditions=found.conditions, seeds=[0], runs=rows, metric="log_loss"), IMAGES)
    assert loss.slope.value == pytest.approx(-0.5)


def test_what_is_no_curve_is_told():
    found = study([[0.2, 0.1, 0.0]])
    with pytest.raises(InputError, match="errors and numbers of images above 0"):
        learning_curve(found, IMAGES)
    with pytest.raises(InputError, match="two levels or more"):
        noise_curve(found, {"few": 0.1})
    with pytest.raises(InputError, match="none named 'more'"):
        noise_curve(found, {"few": 0.1, "more": 0.2})
    with pytest.raises(InputError, match="a seed whose runs are done at all"):
        noise_curve(results({"few": [0.5], "some": [None]}), {"few": 0.1, "some": 0.2})
