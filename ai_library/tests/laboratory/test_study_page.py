"""The page of a study says what was found, and no more."""

import numpy as np

from ai_library.laboratory.study_page import study_page

from .test_statistics import results

COMMON = np.random.default_rng(0).normal(0.9, 0.01, 8)
NOISE = np.random.default_rng(1).normal(0, 0.001, (2, 8))


def test_it_says_which_condition_is_better():
    page = study_page(results({"plain": COMMON, "better": COMMON + 0.02 + NOISE[0], "same": COMMON + NOISE[1]}))
    assert '<p class="headline">2 of 3</p>' in page
    assert "better is better than plain; better is better than same." in page
    assert "sign-flip test decides; it assumes no distribution" in page


def test_it_says_that_no_difference_was_found_and_what_would_be_needed():
    page = study_page(results({"plain": COMMON[:5], "same": COMMON[:5] + NOISE[0, :5]}))
    assert '<p class="headline">No difference found</p>' in page
    assert "in 1 comparison. That does not say that the conditions are the same" in page
    assert "with 5 seeds its p value is never below 0.062, and for one comparison it can decide from 6 seeds on" in page


def test_conditions_that_differ_in_nothing_are_told_from_those_that_do():
    definitions = {
        "a": {"train": {"epochs": 1}, "source": {"size": 1}},
        "b": {"train": {"epochs": 1}, "source": {"size": 1}},
        "c": {"train": {"epochs": 2}, "source": {"size": 1}},
    }
    values = {"a": [0.5, 0.6], "b": [0.5, 0.6], "c": [0.6, 0.7]}
    page = study_page(results(values), definitions, "run <it>")
    assert "<dt>b</dt><dd>is the same as a</dd>" in page
    assert "<dt>c</dt><dd>differs from a: train.epochs 2, not 1</dd>" in page
    assert "one of the data, too" not in page
    assert "run &lt;it&gt;" in page
    definitions["c"]["source"] = {"size": 2}
    assert "one of the data, too" in study_page(results(values), definitions)


def test_a_study_that_has_just_begun_has_a_page():
    page = study_page(results({"a": [0.5], "b": []}))
    assert '<p class="headline">1</p>' in page
    assert "of 2 runs are done" in page
    assert "1 run of 2 not finished yet" in page
