"""The fitted temperature is the one that scipy's optimiser finds, and mends what was wrong."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import InputError, Report, fit_temperature
from ai_library.evaluation.calibration import TEMPERATURES


def drawn(seed, n=500, classes=4, scale=2.0, overconfidence=1.0):
    """Labels drawn from the softmax of logits, and these logits made too large by `overconfidence`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits * overconfidence, labels


def log_loss(temperature, logits, labels):
    scaled = logits / temperature
    return (scipy.special.logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]).mean()


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 300),
    classes=st.integers(2, 12),
    overconfidence=st.floats(0.1, 30),
    offset=st.floats(-100, 100),
)
def test_temperature_agrees_with_scipys_optimiser(seed, n, classes, overconfidence, offset):
    logits, labels = drawn(seed, n, classes, overconfidence=overconfidence)
    temperature = fit_temperature(logits + offset, labels)
    if (logits.argmax(axis=1) == labels).all():
        assert temperature == 1
        return
    wanted = scipy.optimize.minimize_scalar(
        lambda log: log_loss(np.exp(log), logits, labels), bounds=np.log(TEMPERATURES), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert log_loss(temperature, logits, labels) <= wanted.fun + 1e-12
    if TEMPERATURES[0] * 1.01 < temperature < TEMPERATURES[1] * 0.99:
        assert temperature == pytest.approx(np.exp(wanted.x), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("overconfidence", [0.4, 1.0, 3.0])
def test_temperature_finds_and_mends_the_overconfidence(overconfidence):
    logits, labels = drawn(0, 20_000, overconfidence=overconfidence)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(overconfidence, rel=0.05)
    before = Report(scipy.special.softmax(logits, axis=1), labels, tuple("abcd"))
    after = before.at_temperature(temperature)
    assert after.ece < 0.015
    assert after.log_loss <= before.log_loss
    if overconfidence != 1:
        assert after.ece < before.ece / 5
    assert fit_temperature(np.log(after.probabilities), labels) == pytest.approx(1)


def test_temperature_stays_1_where_nothing_tells_it():
    assert fit_temperature(np.eye(3) * 5, np.arange(3)) == 1  # all are right
    assert fit_temperature(np.zeros((4, 3)), np.zeros(4, int)) == 1  # nothing was predicted


def test_temperature_stays_within_its_bounds():
    assert fit_temperature(np.eye(3) * 100, np.array([1, 2, 0])) == pytest.approx(TEMPERATURES[1])
    nearly_right = np.concatenate([np.eye(2)[[0] * 999], [[-1e-9, 0]]])
    assert fit_temperature(nearly_right, np.zeros(1000, int)) == pytest.approx(TEMPERATURES[0])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "labels must be .* at least one"),
        (np.zeros((2, 3)), np.zeros(3, int), r"labels must be \(2,\) integers, .*, got \(3,\) of int64"),
        (np.zeros(3), np.zeros(3, int), r"logits must be \(n, classes\), got \(3,\)"),
        (np.full((2, 3), np.nan), np.zeros(2, int), "logits must be finite, got nan or infinity"),
        (np.zeros((2, 3)), np.array([0, 3]), "labels must be from 0 to 2, as there are 3 classes, got 0 to 3"),
    ],
)
def test_what_has_no_temperature_is_refused(logits, labels, message):
    with pytest.raises(InputError, match=message):
        fit_temperature(logits, labels)
