"""What a few seeds tell, held against scipy, rliable, statsmodels and examples worked by hand.

The figures of the last two were made once, by

    from rliable import library, metrics  # 1.2.0
    library.get_interval_estimates(
        {"scores": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=50_000,
        random_state=np.random.RandomState(1))
    from statsmodels.stats.power import TTestPower  # 0.15.0
    TTestPower().power(effect, n, level), TTestPower().solve_power(effect, None, level, 0.8)
    from statsmodels.stats.multitest import multipletests
    multipletests([0.01, 0.04, 0.03, 0.5], method="holm")
"""

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats

from ai_library import InputError
from ai_library.laboratory.results import NO_DIFFERENCE, StudyResults
from ai_library.laboratory.statistics import (
    fewest_for_sign_flip,
    holm,
    interquartile_mean,
    mean,
    mid_p_interval,
    paired_test,
    power,
    probability_better,
    seeds_needed,
    sign_flip_p,
    t_p,
)

SCORES = np.array(
    [[0.913, 0.55], [0.921, 0.61], [0.908, 0.58], [0.947, 0.49], [0.915, 0.66], [0.902, 0.57], [0.930, 0.60]]
)
FIVE = [0.02, 0.01, 0.03, 0.015, 0.025]


def results(values, **more):
    """Results of a study with the accuracies (seeds,) of each condition; None: that run diverged."""
    runs = {}
    for name, column in values.items():
        for seed, value in enumerate(column):
            known = {"outcome": "diverged"} if value is None else {"outcome": "done", "accuracy": value}
            runs[name, seed] = {"condition": name, "seed": seed, **known}
    seeds = range(max(map(len, values.values())))
    return StudyResults(conditions=tuple(values), seeds=tuple(seeds), runs=runs, **more)


def test_the_interval_of_a_mean_is_students():
    found = mean(SCORES[:, 0])
    wanted = scipy.stats.ttest_1samp(SCORES[:, 0], 0).confidence_interval(0.95)
    assert found == pytest.approx((SCORES[:, 0].mean(), *wanted))
    assert math.isnan(mean([0.5]).low)
    assert math.isnan(mean([0.1 + 0.2, 0.3]).low)  # no spread but that of rounding
    with pytest.raises(InputError, match="finite numbers"):
        mean([])
    with pytest.raises(InputError, match="finite numbers"):
        mean([0.5, math.nan])


@pytest.mark.parametrize("differences", [FIVE, [0.3, -0.1, 0.2], [1, 1, -1, 2, 0, 3, -2, 1]])
def test_the_sign_flip_test_counts_all_ways_to_set_the_signs(differences):
    ways = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    wanted = np.mean(np.array(ways) >= abs(sum(differences)) - 1e-12)
    assert sign_flip_p(differences) == pytest.approx(wanted)


def test_five_seeds_can_never_reach_five_percent_by_signs_alone():
    assert sign_flip_p(FIVE) == 2 / 2**5
    assert fewest_for_sign_flip() == 6
    assert sign_flip_p([*FIVE, 0.02]) == 2 / 2**6 < 0.05
    assert fewest_for_sign_flip(3) == 7  # 2 / 2^7 = 0.0156 < 0.05 / 3 = 0.0167


def test_of_many_differences_the_sign_flip_test_draws():
    differences = np.random.default_rng(3).normal(0.3, 1, 40)
    assert sign_flip_p(differences) == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_p(differences) == sign_flip_p(differences)


def test_differences_that_are_all_the_same_show_nothing():
    assert paired_test([0.0] * 8) == ("sign flip", 1.0)
    assert math.isnan(t_p([0.01] * 3))
    assert paired_test([0.01] * 3) == ("sign flip", 0.25)
    assert seeds_needed([0.01] * 3) is None


def test_the_number_of_seeds_chooses_the_test():
    assert paired_test(FIVE) == ("t", pytest.approx(scipy.stats.ttest_rel(FIVE, [0] * 5).pvalue))
    assert paired_test([*FIVE, 0.02])[0] == "sign flip"
    assert paired_test([*FIVE, 0.02], compared=3)[0] == "t"


def test_holm_corrects_as_statsmodels_does():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_probability_of_being_better_counts_equal_pairs_half():
    assert probability_better([0.1, 0.2, -0.1, 0.0]) == (2.5 / 4, *mid_p_interval(2.5, 4))
    always = probability_better([0.1] * 5)
    assert always.value == always.high == 1.0
    assert always.low == pytest.approx(0.05 ** (1 / 5))  # where half of P(5 of 5) is 2.5 %


@pytest.mark.parametrize(("wins", "n"), [(1, 5), (3, 5), (4, 10), (19, 20)])
def test_what_was_seen_and_more_has_2_5_percent_at_the_ends_of_a_mid_p_interval(wins, n):
    low, high = mid_p_interval(wins, n)
    binomial = scipy.stats.binom
    assert binomial.sf(wins, n, low) + binomial.pmf(wins, n, low) / 2 == pytest.approx(0.025)
    assert binomial.cdf(wins - 1, n, high) + binomial.pmf(wins, n, high) / 2 == pytest.approx(0.025)
    assert mid_p_interval(n - wins, n) == pytest.approx((1 - high, 1 - low))
    assert mid_p_interval(wins - 0.5, n) < (low, high) < mid_p_interval(wins + 0.5, n)


@pytest.mark.parametrize("n", [3, 5, 6, 10, 20])
def test_a_mid_p_interval_holds_whatever_the_true_share_is(n):
    true, wins = np.linspace(0, 1, 999), np.arange(n + 1)
    low, high = np.array([mid_p_interval(int(count), n) for count in wins]).T[..., np.newaxis]
    coverage = (scipy.stats.binom.pmf(wins[:, np.newaxis], n, true) * ((low <= true) & (true <= high))).sum(axis=0)
    assert coverage.min() > 0.91
    assert coverage.mean() < 0.99


def test_the_interquartile_mean_and_its_interval_are_those_of_rliable():
    assert interquartile_mean(SCORES) == pytest.approx((0.761, 0.741625, 0.7795), abs=1e-3)
    assert interquartile_mean(SCORES).value == pytest.approx(0.761)
    assert interquartile_mean(SCORES[:, 0]) == pytest.approx((0.9174, 0.9084, 0.9316), abs=1e-3)
    assert interquartile_mean([1, 2, 3, 100]).value == 2.5


def test_a_middle_half_has_an_interval_from_ten_seeds_on():
    values = np.linspace(0.8, 0.9, 10)
    nine, ten = results({"a": values[:9]}).summaries[0], results({"a": values}).summaries[0]
    assert math.isnan(nine.interquartile_mean.low)
    assert nine.interquartile_mean.value == interquartile_mean(values[:9]).value
    assert ten.interquartile_mean == interquartile_mean(values)


@pytest.mark.parametrize(
    ("effect", "n", "level", "wanted"),
    [(0.5, 5, 0.05, 0.140516689990298), (1.2, 5, 0.05, 0.5302212511402787), (0.8, 15, 0.05 / 3, 0.6497647366524943)],
)
def test_the_power_is_that_of_statsmodels(effect, n, level, wanted):
    assert power(effect, n, level) == pytest.approx(wanted)


def with_effect(effect):
    values = np.array(FIVE) - np.mean(FIVE)
    return values / values.std(ddof=1) + effect


def test_the_seeds_that_are_needed_are_those_of_statsmodels():
    assert seeds_needed(with_effect(0.5)) == math.ceil(33.36713118431779)
    assert seeds_needed(with_effect(-1.2)) == math.ceil(7.58772381704109)
    assert seeds_needed(with_effect(0.8), compared=3) == math.ceil(19.308079904033953)
    assert seeds_needed(with_effect(0.01)) is None


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_equal_conditions_are_seldom_called_different(seeds):
    rng, found = np.random.default_rng(7), 0
    for _ in range(200):
        common = rng.normal(0.9, 0.01, seeds)
        study = results({name: common + rng.normal(0, 0.005, seeds) for name in ("one", "same")})
        found += study.comparisons[0].conclusion != NO_DIFFERENCE
    assert found <= 200 * 0.05 + 2 * math.sqrt(200 * 0.05 * 0.95)


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(0)
    common = rng.normal(0.9, 0.02, 8)
    values = {"a": common, "b": common + 0.03 + rng.normal(0, 0.002, 8), "c": common + rng.normal(0, 0.002, 8)}
    study = results(values)
    told = {(each.first, each.second): each.conclusion for each in study.comparisons}
    assert told == {("a", "b"): "b is better", ("a", "c"): NO_DIFFERENCE, ("b", "c"): "b is better"}
    assert "c against a: no difference found" in str(study)
    assert [each.second for each in results(values, baseline="b").comparisons] == ["a", "c"]
    lower = StudyResults(
        conditions=("a", "b"),
        seeds=range(8),
        runs={
            (name, seed): {"outcome": "done", "log_loss": value}
            for name in "ab"
            for seed, value in enumerate(values[name])
        },
        metric="log_loss",
    )
    assert lower.comparisons[0].conclusion == "a is better"
    assert lower.comparisons[0].probability.value == 0


def test_what_is_left_out_is_told():
    study = results({"a": [0.5, 0.6, 0.7, 0.8], "b": [0.5, None, 0.9]})
    assert [(each.diverged, each.missing, len(each.values)) for each in study.summaries] == [(0, 0, 4), (1, 1, 2)]
    assert len(study.comparisons[0].differences) == 2
    assert "1 run of 8 not finished yet" in study.notes[0]
    assert "1 run diverged" in study.notes[1]
    assert "2 seeds" in study.notes[2]
    assert study.table().decode().splitlines()[6] == "b,1,diverged" + "," * 12


def test_differences_without_spread_are_told():
    study = results({"a": [0.5, 0.5, 0.5], "b": [0.6, 0.6, 0.6]})
    assert study.comparisons[0].conclusion == NO_DIFFERENCE
    assert "undefined for equal differences" in study.notes[0]
    assert "(-; n = 3)" in str(study)


def test_one_run_each_gives_no_interval_and_no_comparison():
    study = results({"a": [0.5], "b": [0.75]})
    assert study.comparisons == []
    assert "a          50.00%  (-; n = 1)" in str(study)


def test_runs_of_nothing_but_a_metric_are_shown_and_written():
    runs = {(name, seed): {"accuracy": 0.9 + seed / 100} for name in "ab" for seed in range(2)}
    results = StudyResults(conditions=("a", "b"), seeds=(0, 1), runs=runs)
    assert "a          90.50%" in str(results)
    rows = results.table().decode().splitlines()
    assert [row.split(",")[:5] for row in rows[1:3]] == [["a", "0", "", "", "0.9"], ["a", "1", "", "", "0.91"]]
