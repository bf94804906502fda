"""Reports and data sources show themselves in notebooks, with the figures and images that they hold."""

import base64
import io
import re

import numpy as np
from PIL import Image

from ai_library import Report, ShapeDataSource


def test_a_report_shows_its_figures_and_escapes_names():
    labels = np.array([0, 0, 1, 1, 1])
    report = Report(np.eye(2)[[0, 1, 1, 1, 1]], labels, ("<script>", "b&b"))
    page = report._repr_html_()
    assert "accuracy 80.00 %" in page
    assert all(value in page for value in report.summary().values())
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "b&amp;b" in page


def test_a_source_shows_its_first_images():
    source = ShapeDataSource(image_size=20, channels=3, class_names=("star", "circle"), sizes=(1200, 30, 40))
    page = source._repr_html_()
    assert "20x20x3 images of 2 classes (star, circle)" in " ".join(page.split())
    assert "1,200 train, 30 validation, 40 evaluation" in page
    picture = re.search(r"base64,([^\"]+)", page)[1]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as strip:
        pixels = np.asarray(strip)
    images, _ = source.examples("train", range(18))
    np.testing.assert_array_equal(pixels, np.concatenate(list(images), axis=1))


def test_a_subclass_shows_its_own_images():
    class Noise(ShapeDataSource):
        def __init__(self):
            super().__init__(image_size=16, class_names=("a", "b"), ranges=None)

        def load(self, split):
            return np.zeros((4, 16, 16, 1), np.uint8), [0, 1, 0, 1]

    assert "<b>Noise</b>" in Noise()._repr_html_()
    assert "4 train, 4 validation, 4 evaluation" in Noise()._repr_html_()
