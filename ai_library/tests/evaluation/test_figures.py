"""A report shows itself as a picture of its confusion matrix and, in notebooks, as tables."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ai_library import Report
from ai_library.evaluation.figures import png_of


def test_a_thousand_classes_make_neither_scores_nor_picture_large():
    names = tuple(map(str, range(1000)))
    report = Report(np.full((50, 1000), 1e-3), np.arange(50), names)
    assert len(json.dumps(report.scores())) < 2000
    assert max(report.confusion_figure().get_size_inches()) < 25
    report.confusion_figure().savefig(io.BytesIO(), format="png", dpi=30)


def test_class_names_are_no_formulas_in_the_picture():
    report = Report(np.full((2, 2), 0.5), np.arange(2), ("$\\frac$", "b"))
    report.confusion_figure().savefig(io.BytesIO(), format="png", dpi=30)


def test_a_report_shows_its_figures_and_escapes_names():
    labels = np.array([0, 0, 1, 1, 1])
    report = Report(np.eye(2)[[0, 1, 1, 1, 1]], labels, ("<script>", "b&b"))
    page = report._repr_html_()
    assert "accuracy 80.00 %" in page
    assert all(value in page for value in report.summary().values())
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "b&amp;b" in page


@pytest.mark.parametrize("name", ["$\\alpha", "\u65e5\u672c", "\U0001f600" * 200, "x" * 1024])
def test_a_picture_is_made_whatever_classes_are_called(name):
    report = Report(np.full((2, 2), 0.5), np.arange(2), (name, "b"))
    with Image.open(io.BytesIO(png_of(report.confusion_figure()))) as picture:
        assert picture.width == 420
        assert 420 <= picture.height < 500
    assert len(report._repr_html_()) < 2000
    assert max(map(len, str(report).splitlines())) < 100


def test_of_sixteen_thousand_classes_the_picture_and_tables_have_those_that_occur():
    names = tuple(f"c{i}" for i in range(16_384))
    probabilities = np.zeros((3, len(names)))
    probabilities[np.arange(3), [5, 5, 900]] = 1
    report = Report(probabilities, np.array([5, 7, 900]), names)
    tracemalloc.start()
    (axis,) = report.confusion_figure().axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["c5", "c7", "c900"]
    assert "3 of 16,384 classes" in axis.get_title()
    for text in (str(report), report._repr_html_()):
        assert "16,381 more classes" in text
        assert len(text) < 3000
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


@pytest.mark.slow
def test_names_that_the_font_cannot_draw_are_numbers_in_the_matrix_too():
    names = (*(chr(0x4E00 + i) for i in range(39)), "plain")
    report = Report(np.full((40, 40), 1 / 40), np.arange(40), names)
    figure = report.confusion_figure()
    png_of(figure)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == [*map(str, range(39)), "plain"]
    assert len(figure.legends[0].get_texts()) == 39
