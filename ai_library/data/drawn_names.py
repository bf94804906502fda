"""Class names in pictures: names that the font cannot draw become numbers, which a legend explains."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..files.text import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NEEDS_SHAPING = {"R", "AL", "NSM"}  # right to left, or combining marks: matplotlib does no text shaping
_MOST = 40  # names in a legend
_LEGEND_CHARACTERS = 56  # of a line
_TITLE_INCHES, _LINE_INCHES = 0.35, 0.14


class DrawnNames:
    """Class names in a form that matplotlib's font can draw.

    Args:
        class_names: Names of the labels 0, 1, ...
        most: Longer names are shortened to so many characters.
    """

    def __init__(self, class_names: Sequence[str], most: int = 40):
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self._names, self._most = class_names, most
        self._font = get_font(findfont(FontProperties()))

    def __getitem__(self, label: int) -> str:
        """The name of a class in a picture: its own, or its number."""
        name = shortened(self._names[label], self._most)
        return name if self._drawable(name) else str(int(label))

    def add_legend(self, figure: "Figure", labels: Iterable[int]) -> None:
        """Adds a legend below a figure for the classes that are shown as numbers, if there are any.

        Characters that the font lacks are written as code points.
        """
        from matplotlib.lines import Line2D

        numbers = [label for label in dict.fromkeys(map(int, labels)) if self[label] != self._shortened(label)]
        texts = [
            shortened(f"{label}: {self._in_code_points(self._shortened(label))}", _LEGEND_CHARACTERS)
            for label in numbers[:_MOST]
        ]
        if len(numbers) > _MOST:
            texts.append(f"and {len(numbers) - _MOST:,} more")
        if not texts:
            return
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + _TITLE_INCHES + _LINE_INCHES * len(texts))
        nothing = [Line2D([], [], linestyle="") for _ in texts]
        legend = figure.legend(
            nothing, texts, loc="outside lower center", fontsize=6, title_fontsize=6, handlelength=0, title="classes"
        )
        for text in legend.get_texts():
            text.set_parse_math(False)

    def _shortened(self, label: int) -> str:
        return shortened(self._names[label], self._most)

    def _drawable(self, text):
        return all(self._has(character) for character in text)

    def _has(self, character):
        simple = unicodedata.bidirectional(character) not in _NEEDS_SHAPING
        return simple and self._font.get_char_index(ord(character)) != 0

    def _in_code_points(self, name):
        return "".join(c if self._has(c) else f"\\u{{{ord(c):x}}}" for c in name)
