"""Shows a report: as text, as the HTML table of a notebook, and its confusion matrix as a matplotlib figure.

matplotlib and jinja2 are imported when they are first used; a report needs neither.
"""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..data.drawn_names import DrawnNames
from ..errors import MissingExtraError
from ..files.text import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import ClassMetrics, Report

MAX_MATRIX = 40
"""The largest number of classes for which a confusion matrix shows names and counts."""
_SIDE_OF_SHADES = 14
"""Size in inches of a larger matrix: 1,000 classes have a pixel per cell."""

_TABLE = """<table>
<caption><b>accuracy {{ "%.2f"|format(100 * report.accuracy) }} %</b></caption>
{% for name, value in report.summary().items() %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<table>
<tr><th scope="col">class</th><th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th>
<th scope="col">images</th></tr>
{% for name, row in rows.items() %}<tr><th scope="row">{{ name|shortened }}</th>
<td>{{ "%.4f"|format(row.precision) }}</td><td>{{ "%.4f"|format(row.recall) }}</td>
<td>{{ "%.4f"|format(row.f1) }}</td><td>{{ "{:,}".format(row.support) }}</td></tr>
{% endfor %}</table>
{% if left_out %}<p>{{ left_out }}</p>{% endif %}"""


def report_text(report: "Report") -> str:
    """The main figures and a row for each class."""
    rows = class_rows(report)
    width = max(map(len, (*map(shortened, rows), "class")))
    lines = [f"{name:<18}{value}" for name, value in report.summary().items()]
    lines += ["", f"{'class':<{width}}  precision  recall      F1  support"]
    for name, row in rows.items():
        lines.append(
            f"{shortened(name):<{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:6.4f}  "
            f"{row['support']:7,}"
        )
    return "\n".join([*lines, *filter(None, [classes_left_out(report)])])


def class_rows(report: "Report") -> "dict[str, ClassMetrics]":
    """The metrics of the classes that have a row in tables: see `Confusions.in_tables`."""
    names = [report.class_names[label] for label in report.confusions.in_tables]
    return {name: report.per_class[name] for name in names}


def classes_left_out(report: "Report") -> str:
    """The note below such a table on the classes left out; "" if it has all."""
    left_out = len(report.class_names) - len(report.confusions.in_tables)
    return f"{left_out:,} more classes, which occur less or not at all, are left out." if left_out else ""


def confusion_figure(report: "Report") -> "Figure":
    """Draws the confusion matrix: counts, with each cell shaded by its fraction of the row.

    It shows the classes that have a row in tables (see `Confusions.in_tables`). Names that the font cannot draw are
    replaced by numbers, which a legend explains.

    Args:
        report: The report to draw. With more than `MAX_MATRIX` classes the figure has shades only, with row and column
            numbers on its axes.

    Returns:
        A matplotlib figure, not attached to a window.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error

    shown = report.confusions.in_tables
    count = report.confusions.matrix(shown)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.5 * len(count) if len(count) <= MAX_MATRIX else _SIDE_OF_SHADES
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.add_subplot()
    colours = matplotlib.colormaps["Blues"](share, bytes=True)  # as floats, a large matrix would take gigabytes
    axis.imshow(colours, interpolation="nearest")
    if len(count) <= MAX_MATRIX:
        for (row, column), value in np.ndenumerate(count):
            if value:
                colour = "white" if share[row, column] > 0.5 else "black"
                axis.text(column, row, f"{value:,}", ha="center", va="center", fontsize=8, color=colour)
        names = DrawnNames(report.class_names, 24)
        ticks, texts = range(len(count)), [names[label] for label in shown]
        axis.set_xticks(ticks, texts, rotation=45, ha="right", parse_math=False)
        axis.set_yticks(ticks, texts, parse_math=False)
        names.add_legend(figure, shown)
    part = "" if len(shown) == len(report.class_names) else f", {len(shown):,} of {len(report.class_names):,} classes"
    axis.set(xlabel="predicted", ylabel="true", title=f"accuracy {report.accuracy:.2%}, n = {report.n:,}{part}")
    return figure


def png_of(figure: "Figure", dpi: int = 120) -> bytes:
    """A figure as a PNG."""
    stream = io.BytesIO()
    with warnings.catch_warnings():  # about names too wide for the layout
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def report_html(report: "Report") -> str:
    """Two HTML tables, one of the main figures and one with a row per class. Class names are escaped.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["shortened"] = shortened
    table = environment.from_string(_TABLE)
    return table.render(report=report, rows=class_rows(report), left_out=classes_left_out(report))
