"""Data sources show their first images in notebooks and in a figure."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ai_library import ArrayDataSource, ShapeDataSource

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def strip_of(page):
    """The picture (h, w, ...) in a page."""
    with Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]))) as strip:
        return np.asarray(strip)


@pytest.mark.slow
def test_a_source_shows_its_first_images():
    source = ShapeDataSource(image_size=20, channels=3, class_names=("star", "circle"), sizes=(1200, 30, 40))
    page = source._repr_html_()
    assert "20x20x3 images of 2 classes (star, circle)" in " ".join(page.split())
    assert "1,200 train, 30 validation, 40 evaluation" in page
    images, _ = source.examples("train", range(18))
    np.testing.assert_array_equal(strip_of(page), np.concatenate(list(images), axis=1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_1_to_4_channels_are_shown_with_their_opacity(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, channels), np.uint8)
    source = ArrayDataSource(train=(images, [0, 1, 0, 1, 1]), class_names=("a<b", "c"))
    page, figure = source._repr_html_(), source.show(5)
    wide = np.concatenate(list(images), axis=1)
    planes = {1: 0, 2: [0, 0, 0, 1]}.get(channels, slice(None))  # Pillow and matplotlib know no grey with opacity
    np.testing.assert_array_equal(strip_of(page), wide[..., planes])
    assert "<b>ArrayDataSource</b>" in page
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert "5 train</p>" in page
    assert [axis.get_title() for axis in figure.axes] == ["a<b", "c", "a<b", "c", "c"]


@pytest.mark.parametrize("name", ["$\\bad$", "$", "a$b$c", "x" * 1000])
def test_class_names_are_no_formulas_and_fill_no_page(name):
    source = ArrayDataSource(train=(np.zeros((2, 16, 16, 1), np.uint8), [0, 1]), class_names=(name, "c"))
    figure = source.show(2)
    assert figure.axes[0].get_title() == (name if len(name) < 40 else "x" * 39 + "\u2026")
    assert not figure.legends
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    assert len(source._repr_html_()) < 2000


@pytest.mark.parametrize("name", ["\u732b", "\u05d7\u05ea\u05d5\u05dc", "\u0e41\u0e21\u0e27", "\uace0\uc591\uc774"])
def test_names_in_scripts_that_the_font_cannot_draw_are_numbers_with_a_legend(name):
    names = ("dog", name, "ch\u00e8vre")
    source = ArrayDataSource(train=(np.zeros((3, 16, 16, 1), np.uint8), [0, 1, 2]), class_names=names)
    figure = source.show(3)
    figure.savefig(io.BytesIO(), format="png", dpi=30)  # a missing letter would be a warning, and so an error
    assert [axis.get_title() for axis in figure.axes] == ["dog", "1", "ch\u00e8vre"]
    (legend,) = figure.legends
    (line,) = [text.get_text() for text in legend.get_texts()]
    assert line.startswith(f"1: \\u{{{ord(name[0]):x}}}")
