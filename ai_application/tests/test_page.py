"""The pages of the committed models in Chromium, on a desk and on a phone: by file, by hand, by keyboard and by ear."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_library import export_page, load_model
from ai_library.tests.browser import chromium
from ai_library.tests.export.pages import answers, assert_same, draw, opened

pytestmark = pytest.mark.slow

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

APPLICATION = Path(__file__).resolve().parents[1]
MOST_BYTES = 3_500_000
CORNERS = {"square": 4, "pentagon": 5, "hexagon": 6}
DIGITS = {  # strokes as people write them
    "1": [[(0.5, 0.2), (0.5, 0.8)]],
    "2": [[(0.33, 0.33), (0.42, 0.22), (0.58, 0.22), (0.66, 0.35), (0.6, 0.5), (0.35, 0.78), (0.7, 0.78)]],
    "3": [
        [
            (0.32, 0.25),
            (0.5, 0.2),
            (0.65, 0.3),
            (0.62, 0.43),
            (0.48, 0.5),
            (0.66, 0.58),
            (0.68, 0.72),
            (0.52, 0.82),
            (0.33, 0.76),
        ]
    ],
    "4": [[(0.35, 0.2), (0.3, 0.55), (0.72, 0.55)], [(0.6, 0.2), (0.6, 0.82)]],
    "7": [[(0.3, 0.22), (0.7, 0.22), (0.45, 0.8)]],
}


def ring(corners):
    """A regular polygon around the middle."""
    turns = [2 * math.pi * (corner + 0.5) / corners for corner in range(corners + 1)]
    return [(0.5 + 0.32 * math.sin(turn), 0.5 - 0.32 * math.cos(turn)) for turn in turns]


DRAWINGS = {
    "shapes": {"circle": [ring(24)], **{name: [ring(corners)] for name, corners in CORNERS.items()}},
    "mnist": {"0": [ring(24)], **DIGITS},
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=["shapes", "mnist"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def path(name, tmp_path_factory):
    written = tmp_path_factory.mktemp(name) / "page.html"
    export_page(written, load_model(APPLICATION / f"models/{name}.msgpack"))
    return written


def on_phone(page):
    """Whether to try a part of the inputs: on a phone the places of things differ, not what the program computes."""
    return page.viewport_size["width"] < 500


@pytest.fixture(params=["desk", "phone"])
def page(request, browser, path):
    with opened(browser, path, request.param) as shown:
        yield shown


def headline(page):
    page.wait_for_selector("#status:not(:empty)", state="attached")
    return page.inner_text("#headline")


@pytest.fixture(scope="module")
def files(request, name, tmp_path_factory):
    """The committed images of shapes, or 200 of MNIST's digits."""
    if name == "shapes":
        return sorted((APPLICATION / "evaluation/shapes").glob("*/*.png"))
    folder = tmp_path_factory.mktemp("digits")
    with gzip.open(request.getfixturevalue("mnist_files") / "t10k-images-idx3-ubyte.gz") as file:
        digits = np.frombuffer(file.read(16 + 200 * 784)[16:], np.uint8).reshape(200, 28, 28)
    for index, digit in enumerate(digits):
        Image.fromarray(digit).save(folder / f"{index:03}.png")
    return sorted(folder.iterdir())


def test_the_same_answers_as_in_python(page, name, files):
    assert len(files) == {"shapes": 450, "mnist": 200}[name]
    files = files[::9] if on_phone(page) else files
    assert_same(answers(page, files), load_model(APPLICATION / f"models/{name}.msgpack"), files)


def test_what_is_drawn_is_told(page, name):
    drawings = [*DRAWINGS[name].items()]
    for wanted, strokes in drawings[:2] if on_phone(page) else drawings:
        draw(page, *strokes)
        assert headline(page) == wanted
        page.get_by_role("button", name="Clear").click()


def test_axe_finds_no_serious_barrier_before_and_after_an_answer(page, name):
    for strokes in ([], DRAWINGS[name][next(iter(DRAWINGS[name]))]):
        draw(page, *strokes)
        if strokes:
            headline(page)
        found = axe_playwright.Axe().run(page).response["violations"]
        told = [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
        assert told == []


def test_it_fits_the_window_and_fingers(page):
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    touched = "[...document.querySelectorAll('.tools > *')].filter(each => each.checkVisibility())"
    assert page.evaluate(f"Math.min(...{touched}.map(each => each.getBoundingClientRect().height))") >= 44


def test_a_photograph_is_offered_where_there_is_touch(page):
    button = page.get_by_text("Take a photograph")
    assert button.is_visible() == page.evaluate("navigator.maxTouchPoints > 0")
    assert button.locator("input").get_attribute("capture") == "environment"


def test_everything_is_reached_by_the_tabulator_and_shows_it(page):
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
        outline = "getComputedStyle(document.activeElement.closest('.button') ?? document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
    assert seen == ["board", "undo", "clear", "files"]


def test_the_file_is_small(path):
    assert path.stat().st_size <= MOST_BYTES
