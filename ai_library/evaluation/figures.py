"""How a report shows itself: the confusion matrix as a matplotlib figure, and the HTML table of a notebook.

matplotlib and jinja2 are imported when they are first used: a report by itself needs neither.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import Report

MAX_MATRIX = 40
"""The largest number of classes for which a confusion matrix shows names and counts."""

_TABLE = """<table>
<caption><b>accuracy {{ "%.2f"|format(100 * report.accuracy) }} %</b></caption>
{% for name, value in report.summary().items() %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<table>
<tr><th scope="col">class</th><th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th>
<th scope="col">images</th></tr>
{% for name, row in report.per_class.items() %}<tr><th scope="row">{{ name }}</th>
<td>{{ "%.4f"|format(row.precision) }}</td><td>{{ "%.4f"|format(row.recall) }}</td>
<td>{{ "%.4f"|format(row.f1) }}</td><td>{{ "{:,}".format(row.support) }}</td></tr>
{% endfor %}</table>"""


def confusion_figure(report: "Report") -> "Figure":
    """The confusion matrix: counts, each cell shaded by its share of the row.

    Args:
        report: The report to draw. For more than `MAX_MATRIX` classes the figure shows the shades alone, with the
            classes' numbers on its axes.

    Returns:
        A matplotlib figure that belongs to no window, to be saved or shown.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error

    count = report.confusion_matrix
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.5 * min(len(count), MAX_MATRIX)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.add_subplot()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(count) <= MAX_MATRIX:
        for (row, column), value in np.ndenumerate(count):
            if value:
                colour = "white" if share[row, column] > 0.5 else "black"
                axis.text(column, row, f"{value:,}", ha="center", va="center", fontsize=8, color=colour)
        ticks = range(len(count))
        axis.set_xticks(ticks, report.class_names, rotation=45, ha="right", parse_math=False)
        axis.set_yticks(ticks, report.class_names, parse_math=False)
    axis.set(xlabel="predicted", ylabel="true", title=f"accuracy {report.accuracy:.2%}, n = {report.n:,}")
    return figure


def report_html(report: "Report") -> str:
    """Two HTML tables, the main figures and a row for each class, with class names escaped.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TABLE).render(report=report)
