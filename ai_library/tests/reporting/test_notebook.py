"""Reports show themselves in notebooks, with the figures that they hold."""

import numpy as np

from ai_library import Report


def test_a_report_shows_its_figures_and_escapes_names():
    labels = np.array([0, 0, 1, 1, 1])
    report = Report(np.eye(2)[[0, 1, 1, 1, 1]], labels, ("<script>", "b&b"))
    page = report._repr_html_()
    assert "accuracy 80.00 %" in page
    assert all(value in page for value in report.summary().values())
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "b&amp;b" in page
