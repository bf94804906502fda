"""`report.html` as people open it: on a phone and on a desk, light and dark, by hand, by keyboard and by ear."""

from pathlib import Path

import pytest

from ai_application.mnist import MnistDataSource
from ai_library import ArrayDataSource, ShapeDataSource, evaluate, load_model
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
    few = digits.examples("evaluation", range(2_000))
    return ArrayDataSource(train=few, evaluation=few, class_names=digits.class_names)


@pytest.fixture(scope="module")
def pages():
    """The folder of each page that was made."""
    return {}


@pytest.fixture(params=["shapes", "mnist"])
def report(request, pages, tmp_path_factory):
    """The address of the page about a committed model: of the shapes with slices, of MNIST with corruptions."""
    name = request.param
    if name not in pages:
        source, classifier = request.getfixturevalue(name), load_model(MODELS / f"{name}.msgpack")
        pages[name] = tmp_path_factory.mktemp(name)
        command = f"python scripts/train_{name}.py"
        write_findings(examine(classifier, source, evaluate(classifier, source), command), pages[name])
    return (pages[name] / "report.html").as_uri()


@pytest.fixture(params=["360-light", "360-dark", "1280-light", "1280-dark"])
def page(request, browser, report):
    """The page in a window, with what it asked for and complained of."""
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


def test_axe_finds_no_serious_barrier(page):
    open_all(page)
    found = axe_playwright.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


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
    page.emulate_media(media="print")
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert colour == "rgb(27, 29, 31)"
    assert page.evaluate("[...document.querySelectorAll('details table')].every(each => each.checkVisibility())")
