"""The diagrams of `report.html` as SVG, which is small, sharp at any size, and uses the page's colours."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from ..evaluation.corruptions import SEVERITIES, CorruptedAccuracy
from ..evaluation.metrics import ReliabilityBin

_FIRST_COVERAGE = 0.1
"""The lowest coverage that is drawn: below it the curve is noise of single examples."""


class _Plot:
    """A drawing with two axes; `x` and `y` map values to pixels."""

    def __init__(self, size, x_range, y_range, left=42.0, bottom=36.0):
        self.width, self.height = size
        self._x, self._y, self._left, self._bottom = x_range, y_range, left, bottom
        self._parts = []

    def x(self, value):
        low, high = self._x
        return self._left + (value - low) / (high - low) * (self.width - self._left - 18)

    def y(self, value):
        low, high = self._y
        return self.height - self._bottom - (value - low) / (high - low) * (self.height - self._bottom - 10)

    def add(self, tag, text=None, **attributes):
        pairs = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(f"{value:.1f}" if isinstance(value, float) else value)}"'
            for name, value in attributes.items()
        )
        self._parts.append(f"<{tag}{pairs}/>" if text is None else f"<{tag}{pairs}>{escape(text)}</{tag}>")

    def axes(self, x_ticks, y_ticks, x_label="", y_label=""):
        """Draws the axes; ticks are pairs of a value and its text."""
        left, right, floor = self.x(self._x[0]), self.x(self._x[1]), self.y(self._y[0])
        for value, text in y_ticks.items():
            y = self.y(value)
            self.add("line", class_="grid", x1=left, x2=right, y1=y, y2=y)
            self.add("text", text, x=left - 5, y=y + 4, text_anchor="end")
        for value, text in x_ticks.items():
            self.add("text", text, x=self.x(value), y=floor + 15, text_anchor="middle")
        if x_label:
            self.add("text", x_label, x=(left + right) / 2, y=self.height - 4.0, text_anchor="middle")
        if y_label:
            self.add("text", y_label, x=left + 5, y=self.y(self._y[1]) + 13)

    def line(self, points, class_="curve"):
        self.add("polyline", class_=class_, points=" ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points))

    def interval(self, x, interval):
        low, high = interval
        self.add("line", class_="interval", x1=self.x(x), x2=self.x(x), y1=self.y(low), y2=self.y(high))

    def dot(self, x, y, radius=3.0):
        self.add("circle", class_="dot", cx=self.x(x), cy=self.y(y), r=float(radius))

    def svg(self, label=""):
        """The SVG. `label` is its text alternative; "" hides it from screen readers, as the text is beside it."""
        size = f'viewBox="0 0 {self.width} {self.height}"'
        spoken = f'role="img" aria-label="{escape(label)}"' if label else 'class="mark" aria-hidden="true"'
        return Markup(f"<svg {size} {spoken}>{''.join(self._parts)}</svg>")


def reliability_diagram(bins: Sequence[ReliabilityBin], label: str) -> Markup:
    """Accuracy against confidence: one dot per bin with its 95 % interval, its area by the number of examples."""
    plot, ticks = _Plot((320, 250), (0, 1), (0, 1)), _percents((0, 0.25, 0.5, 0.75, 1))
    plot.axes(ticks, ticks, "confidence", "accuracy")
    plot.line([(0, 0), (1, 1)], "ideal")
    n = sum(each.n for each in bins)
    for each in bins:
        plot.interval(each.confidence, each.accuracy_interval)
        plot.dot(each.confidence, each.accuracy, 2.5 + 5 * math.sqrt(each.n / n))
    return plot.svg(label)


def coverage_diagram(coverage: np.ndarray, accuracy: np.ndarray, label: str) -> Markup:
    """Accuracy (n,) against coverage (n,), sorted by coverage, from 10 % on."""
    begin = int(np.searchsorted(coverage, _FIRST_COVERAGE))
    shown = np.unique(np.linspace(begin, len(coverage) - 1, 200).astype(int))
    y_ticks = _ticks(float(accuracy[shown].min()))
    plot = _Plot((320, 250), (0, 1), (min(y_ticks), 1), left=50.0)
    plot.axes(_percents((0, 0.25, 0.5, 0.75, 1)), y_ticks, "share of the images decided")
    plot.line([(coverage[i], accuracy[i]) for i in shown])
    plot.dot(coverage[-1], accuracy[-1])
    return plot.svg(label)


def corruption_diagram(rows: Sequence[CorruptedAccuracy], label: str) -> Markup:
    """Accuracy against severity, from 0 (uncorrupted) to 5; `rows` are in this order."""
    plot = _Plot((170, 130), (0, SEVERITIES[-1]), (0, 1), left=40.0, bottom=22.0)
    plot.axes({each: str(each) for each in (0, *SEVERITIES)}, _percents((0, 0.5, 1)))
    plot.line([(row.severity, row.accuracy) for row in rows])
    for row in rows:
        plot.interval(row.severity, row.accuracy_interval)
        plot.dot(row.severity, row.accuracy, 2.5)
    return plot.svg(label)


def interval_mark(accuracy: float, interval: tuple[float, float], lowest: float) -> Markup:
    """An accuracy and its interval on a scale from `lowest` to 1, for a table cell."""
    plot = _Plot((140, 16), (min(lowest, 0.999), 1), (0, 1), left=6.0, bottom=3.0)
    low, high = (plot.x(max(value, lowest)) for value in interval)
    plot.add("line", class_="grid", x1=plot.x(1), x2=plot.x(1), y1=0.0, y2=16.0)
    plot.add("line", class_="interval", x1=low, x2=high, y1=8.0, y2=8.0)
    plot.add("circle", class_="dot", cx=plot.x(accuracy), cy=8.0, r=3.0)
    return plot.svg()


def spread_mark(values: Sequence[float], interval: tuple[float, float], scale: tuple[float, float]) -> Markup:
    """Values as dots over the interval of their mean, for a table cell; a line marks 0 if the scale has it."""
    low, high = scale
    plot = _Plot((200, 16), (low, high if high > low else low + 1), (0, 1), left=6.0, bottom=3.0)
    if low <= 0 <= high:
        plot.add("line", class_="grid", x1=plot.x(0), x2=plot.x(0), y1=0.0, y2=16.0)
    if not math.isnan(interval[0]):
        first, last = (plot.x(min(max(value, low), high)) for value in interval)
        plot.add("line", class_="interval", x1=first, x2=last, y1=8.0, y2=8.0)
    for value in values:
        plot.add("circle", class_="dot", cx=plot.x(value), cy=8.0, r=2.5)
    return plot.svg()


def _percents(values):
    return {value: f"{value:.0%}" for value in values}


def _ticks(lowest):
    """Up to six round values from `lowest`, rounded down, to 1, with their texts."""
    for step in (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        count = math.ceil((1 - lowest) / step - 1e-9) or 1
        if count <= 5:
            break
    digits = max(0, math.ceil(-math.log10(step) - 2 - 1e-9))
    return {1 - i * step: f"{1 - i * step:.{digits}%}" for i in range(count + 1)}
