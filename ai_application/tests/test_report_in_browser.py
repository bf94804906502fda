"""The pages of results, as people open them: on a phone and on a desk, light and dark, by hand, keyboard and ear."""

from pathlib import Path

import numpy as np
import pytest

from ai_application.mnist import MnistDataSource
from ai_library import ArrayDataSource, Report, ShapeDataSource, evaluate, load_model
from ai_library.data.images.odd_images import OddImage
from ai_library.laboratory.results import StudyResults
from ai_library.laboratory.study_page import study_page
from ai_library.reporting.data_check import DataCheck, Pair, data_check_page
from ai_library.reporting.findings import examine
from ai_library.reporting.page import write_findings
from ai_library.tests.browser import chromium

pytestmark = pytest.mark.slow


axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

MODELS = Path(__file__).resolve().parents[1] / "models"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shapes():
    return ShapeDataSource(sizes=(1, 1, 3_000))


@pytest.fixture(scope="module")
def mnist(mnist_data_dir, mnist_files):
    digits = MnistDataSource(data_dir=mnist_data_dir, files=mnist_files)
    few = digits.examples("evaluation", range(500))
    return ArrayDataSource(train=few, evaluation=few, class_names=digits.class_names)


@pytest.fixture(scope="module")
def pages():
    """The folder of each page that was made."""
    return {}


@pytest.fixture(scope="module", params=["shapes", "mnist"])
def report(request, pages, tmp_path_factory):
    """The address of the page about a committed model: of the shapes with slices, of MNIST with corruptions."""
    name = request.param
    if name not in pages:
        source, classifier = request.getfixturevalue(name), load_model(MODELS / f"{name}.msgpack")
        pages[name] = tmp_path_factory.mktemp(name)
        command = f"python scripts/train_{name}.py"
        write_findings(examine(classifier, source, evaluate(classifier, source), command), pages[name])
    return (pages[name] / "report.html").as_uri()


@pytest.fixture(scope="module", params=["360-dark", "1280-light"])
def page(request, browser, report):
    """The page in a window, with what it asked for and complained of; its tests leave it as they found it.

    Its colours do not hang on the width, nor its places on the scheme.
    """
    width, scheme = request.param.split("-")
    opened = browser.new_page(viewport={"width": int(width), "height": 800}, color_scheme=scheme)
    opened.requests, opened.complaints = [], []
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.goto(report)
    yield opened
    opened.close()


def open_all(page):
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")


def test_it_asks_for_nothing_and_complains_of_nothing(page, report):
    open_all(page)
    assert [asked for asked in page.requests if not asked.startswith("data:image/png;base64,")] == [report]
    assert page.complaints == []
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_it_fits_the_width_of_the_window(page):
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    beyond = """[...document.querySelectorAll("main *")].filter(each => !each.closest(".scroll")
        && each.getBoundingClientRect().right > innerWidth).map(each => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []


def serious_barriers(page):
    found = axe_playwright.Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


def test_axe_finds_no_serious_barrier(page):
    open_all(page)
    assert serious_barriers(page) == []


def data_check():
    """The page of `check_data.py` about images with all that it looks for."""
    rng = np.random.default_rng(0)
    right = np.arange(40) % 2
    report = Report(
        np.where(np.eye(2)[right] == 1, 0.96, 0.04), np.where(np.arange(40) < 3, 1 - right, right), ("a", "b")
    )
    found = {
        "odd": [OddImage(4, "blurred", "much")],
        "copies": [Pair(5, 6, "same pixels")],
        "leaks": 2,
        "faults": {"a.png": "is empty"},
    }
    names, images = [f"photos/a/{index}.png" for index in range(40)], rng.integers(0, 256, (40, 8, 8, 3), np.uint8)
    return data_check_page(DataCheck(names=names, images=images, report=report, **found))


def study():
    """The page of `study.py` about three conditions, one of which is better."""
    accuracies = np.random.default_rng(0).normal([[0.9], [0.9], [0.95]], 0.003, (3, 8))
    rows = {
        (name, seed): {"condition": name, "seed": seed, "outcome": "done", "accuracy": accuracies[number, seed]}
        for number, name in enumerate(("plain", "same", "better"))
        for seed in range(8)
    }
    definitions = {name: {"train": {"epochs": epochs}} for name, epochs in (("plain", 1), ("same", 1), ("better", 2))}
    results = StudyResults(conditions=("plain", "same", "better"), seeds=tuple(range(8)), runs=rows)
    return study_page(results, definitions, "python scripts/study.py shapes")


@pytest.mark.parametrize("made", [data_check, study])
def test_pages_about_data_and_studies_are_read_everywhere(made, browser, tmp_path):
    (tmp_path / "page.html").write_text(made())
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    open_all(page)
    for width, scheme in ((360, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert serious_barriers(page) == []
    page.close()


def test_wide_tables_scroll_by_keyboard(page):
    table = page.get_by_role("region", name="Confusion matrix")
    table.focus()
    assert table.evaluate("each => each === document.activeElement")
    room = table.evaluate("each => each.scrollWidth - each.clientWidth")
    if page.viewport_size["width"] == 360:
        assert room > 0
        page.keyboard.press("ArrowRight")
        page.wait_for_function("each => each.scrollLeft > 0", arg=table.element_handle())


def test_paper_shows_it_light_with_every_table(page):
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = false)")
    page.emulate_media(media="print")
    colour = page.evaluate("getComputedStyle(document.body).color")
    shown = page.evaluate("[...document.querySelectorAll('details table')].every(each => each.checkVisibility())")
    page.emulate_media(media="screen")
    assert colour == "rgb(27, 29, 31)"
    assert shown
