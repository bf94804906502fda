"""A report shows itself as a picture of its confusion matrix and, in notebooks, as tables."""

import io
import json

import numpy as np

from ai_library import Report


def test_a_thousand_classes_make_neither_scores_nor_picture_large():
    names = tuple(map(str, range(1000)))
    report = Report(np.full((50, 1000), 1e-3), np.arange(50), names)
    assert len(json.dumps(report.scores())) < 1000
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
