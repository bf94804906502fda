"""The page of a data set shows the suspicious images, says the figures, and no name in it does harm."""

import re

import numpy as np
import pytest

from ai_library import Report
from ai_library.data.images.odd_images import OddImage
from ai_library.reporting.data_check import SHOWN, DataCheck, Pair, data_check_page
from ai_library.tests.reporting.test_page import Page

HARMFUL = '<script>alert("1")</script>'


def check(flipped, n=400, **more):
    """Of n images of two classes the first `flipped` are labelled as the other."""
    true = np.arange(n) % 2
    probabilities = np.where(np.eye(2)[true] == 1, 0.96, 0.04)
    labels = np.where(np.arange(n) < flipped, 1 - true, true)
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    report = Report(probabilities, labels, ("cat", HARMFUL))
    return DataCheck(names=[f"{HARMFUL}{index}" for index in range(n)], images=images, report=report, **more)


def test_suspicious_images_are_shown_with_what_they_look_like():
    text = data_check_page(check(3))
    page = "".join(Page(text).text)
    assert "3 of 400 labels are probably wrong" in re.sub(r"\s+", " ", page)
    assert page.count("looks like") == 3 + 1  # the explanation says it too
    assert text.count("data:image/png") == 2 * 3
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:image/png|#)', text)


def test_size_is_bounded_however_much_is_wrong():
    odd = [OddImage(index, "blurred", "much") for index in range(400)]
    copies = [Pair(index, 0, "same pixels") for index in range(1, 400)]
    text = data_check_page(check(120, odd=odd, copies=copies, leaks=7, faults={"a.png": "is empty"}))
    assert text.count("data:image/png") == 2 * SHOWN + 12 + 2 * 12
    page = re.sub(r"\s+", " ", "".join(Page(text).text))
    for told in (
        "Images that are copies of others: 399.",
        "With a copy, or an image of their group, in an earlier split, so that metrics by these splits are too "
        "high: 7.",
        "Blurred: 400",
        "Files that cannot be read: 1.",
    ):
        assert told in page


@pytest.mark.parametrize("flipped", [0, 1])
def test_a_sound_data_set_has_a_page_too(flipped):
    page = "".join(Page(data_check_page(check(flipped))).text)
    assert "No image is a copy of another." in page
    assert "No image is almost black or white" in page


def test_the_page_says_where_near_copies_were_not_looked_for():
    page = "".join(Page(data_check_page(check(0, not_compared="near copies are not looked for in icons"))).text)
    assert "No image has the same pixels as another." in page
    assert "Near copies are not looked for in icons." in page
    assert "is a copy" not in page
