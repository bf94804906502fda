"""Names of any kind become text that can do no more than be read."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ai_library.files.text import as_cell, is_blank, listed, shortened

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
pieces = st.sampled_from([*SIGNS, *",;|\t \"'\r\n\u3000\u200d\u00a0", "1", "a", "\u202e", "cmd"])


@pytest.mark.slow
@given(st.lists(pieces, max_size=8).map("".join) | st.text())
@example("x;=1+1")
@example("a\t+1")
@example('x; "=1"')
@example("\u3000\uff1d1")
def test_no_cell_is_a_formula_whatever_separates_cells(text):
    cell = as_cell(text)
    assert len(cell.splitlines()) <= 1
    for part in re.split(r"[,;|\t]", cell):
        assert part.strip("\"' \u3000\u200d\u00a0")[:1] not in {*SIGNS} or part.startswith("'")


@pytest.mark.parametrize("text", ["circle", "a-b", "a=b", "3 - 4", "2;3", "b\u00fcr@home", "IMG_20-11.png", ""])
def test_text_that_calculates_nothing_stays_as_it_is(text):
    assert as_cell(text) == text


@pytest.mark.parametrize("text", ["", " ", "\u00a0\u3000", "\u200d", "\u0301", " \u200c ", "\u3164\u2800"])
def test_text_of_which_nothing_shows_is_blank(text):
    assert is_blank(text)
    assert not is_blank(f"{text}a")


def test_lists_and_long_names_are_cut_and_say_so():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert shortened("a" * 40) == "a" * 40
    assert shortened("a" * 41) == "a" * 39 + "\u2026"
    assert len(listed(["x" * 10**6] * 10_000)) < 3000
