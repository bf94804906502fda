"""The site of `docs/` builds without a warning, has every public name, and is read and searched without a network."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ai_library
from ai_library.tests.browser import chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(  # asked without an import, which takes a second of each process of the tests
        not all(map(importlib.util.find_spec, ("furo", "myst_nb"))),
        reason="furo or myst-nb is missing: pip install -e .[docs]",
    ),
]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: the command of README and development.md, which ends with an error where there is a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", folder / "doctrees"]
    done = subprocess.run([*command, "docs", folder / "html"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_public_name_is_in_the_reference(site):
    from sphinx.util.inventory import InventoryFile

    with open(site / "objects.inv", "rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    names = {name for kind in inventory if kind.startswith("py:") for name in inventory[kind]}
    assert {f"ai_library.{name}" for name in ai_library.__all__} - names == set()
    assert {"ai_library.Trainer.fit", "ai_library.Report.accuracy_interval"} <= names


def test_code_in_docstrings_is_shown_as_code(site):
    """A block of it follows two colons; after one it would be a quotation."""
    pages = [*(site / "reference").glob("*.html")]
    assert len(pages) >= 5
    assert [page.name for page in pages if "<blockquote" in page.read_text()] == []


def test_the_pages_ask_nothing_of_other_places(site):
    asking = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"https?:|<link\b[^>]*\bhref=\"https?:|url\(https?:"
    )
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    assert [path.name for path in pages if asking.search(path.read_text())] == []


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


KINDS = ("index", "tutorials/own_network", "tutorials/tour", "reference/models", "benchmarks", "changelog")

RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]  # what light and dark may differ in


def serious_barriers(page, rules):
    """What axe finds by these rules."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing").Axe()
    # Preloading asks for style sheets, which files do not give.
    options = {"preload": False, "resultTypes": ["violations"], **rules}
    found = axe.run(page, options=options).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("name", KINDS)
def test_it_is_read_on_a_phone_and_on_a_desk_in_light_and_in_dark(site, browser, name):
    page, complaints, backgrounds = browser.new_page(), [], set()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for width, schemes in ((390, ["light"]), (1280, ["light", "dark"])):  # a desk shows all that a phone shows
        page.set_viewport_size({"width": width, "height": 800})
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert serious_barriers(page, {"runOnly": RULES_OF_COLOUR} if scheme == "dark" else {}) == []
    assert len(backgrounds) == 2
    assert complaints == []
    page.close()


def test_the_search_finds_a_public_name_in_the_files_alone(site, browser):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("TrainConfig")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="ai_library.TrainConfig", exact=True).click()
    assert page.url.endswith("reference/training.html#ai_library.TrainConfig")
    page.close()
