"""README and the pages of `docs/`: links lead somewhere, Python code runs, figures are those of committed results.

Figures that no link to a results file stands beside are not checked here: those of the committed models, which other
tests evaluate, and times and sizes that promises.md and install.md quote from tests.
"""

import re
import tomllib
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
import yaml
from PIL import Image

from ai_application.tests import few_digits
from ai_library import ShapeDataSource

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for path in (ROOT / "docs").rglob("*.md") if "site" not in path.parts),
        *(ROOT / "ai_library").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
QUICK = ("model_file",)
SLOW = ("calibration", "README", "quick_start", "shapes", "folder", "own_network", "slices", "mnist")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(page):
    """What the headings of a page are called in links, as code hosts and the site's builder name them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_read_in_one_sitting():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert len(text.encode()) <= 9_000
    commands = re.findall(r"^pip install .*&&.*$", text, re.M)[:2]
    assert commands == [
        "pip install -r requirements.txt && python scripts/train_shapes.py",
        "pip install -r requirements-dev.txt && python -m pytest",
    ]


def test_every_relative_link_leads_to_a_file_and_a_heading():
    assert len(PAGES) > 30
    missing, found = [], 0
    for page in [*PAGES, ROOT / "main.ipynb"]:
        for path, anchor in LINK.findall(without_code(page.read_text())):
            found += 1
            target = page.parent / path if path else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                missing.append(f"{name_of(page)}: {path}{anchor}")
    assert found > 150
    assert missing == []


def test_every_promise_names_a_test_or_a_benchmark_that_exists():
    page = ROOT / "docs/promises.md"
    rows = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("| ")]
    promises = [(row[0], row[1]) for row in rows if row[0].strip() != "promise"]
    assert len(promises) > 25
    for promise, how in promises:
        tests = [page.parent / path for path, _ in LINK.findall(how) if path.endswith(".py")]
        benchmarks = [ROOT / path for path in re.findall(r"`python (benchmarks/\w+\.py)", how)]
        assert tests or benchmarks, promise
        assert [path.name for path in (*tests, *benchmarks) if not path.is_file()] == [], promise
        assert [each.name for each in tests if not re.search(r"^def (test_|main)", each.read_text(), re.M)] == [], (
            promise
        )


def test_the_benchmarks_page_lists_every_result_and_every_command():
    page = (ROOT / "benchmarks/README.md").read_text()
    results = {f"results/{path.name}" for path in (ROOT / "benchmarks/results").glob("*.txt")}
    assert results - {*re.findall(r"\]\((results/\w+\.txt)\)", page)} == set()
    commands = {*re.findall(r"`python (benchmarks/\w+\.py)", page)}
    assert len(commands) > 20
    assert [command for command in commands if not (ROOT / command).is_file()] == []


def test_the_citation_and_the_hosted_workflow_are_those_of_this_version():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-1] == ".ci/run"


@pytest.fixture
def place(tmp_path, monkeypatch, small_networks):
    """A folder that has what the pages speak of: the application's models, and photos of two classes.

    Data sets and networks whose size a page does not say are small, so that its code takes seconds.
    """
    (tmp_path / "ai_application").symlink_to(ROOT / "ai_application")
    rng = np.random.default_rng(0)
    for number, kind in enumerate(("cat", "dog")):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(100 * number, 100 * number + 100, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"photos/{kind}/{index}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ShapeDataSource.__init__.__kwdefaults__, "sizes", (128, 32, 9))
    return tmp_path


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def test_every_page_with_python_code_is_run_or_is_one_of_those_that_others_test():
    with_code = {page.stem for page in PAGES if python_blocks(page)}
    # The start page has the README's lines, ship.md code for other software; the laboratory's has a test of its own.
    elsewhere = {"index", "ship", "laboratory", "laboratory_studies"}
    assert with_code - elsewhere == {*QUICK, *SLOW}


@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_python_code_of_a_page_runs(name, place, monkeypatch):
    if name == "mnist":
        (place / "mnist-files").mkdir()
        few_digits.write_files(place / "mnist-files")
        monkeypatch.setattr(tfds.image_classification.MNIST, "url_infos", few_digits.url_infos(place / "mnist-files"))
    (page,) = (page for page in PAGES if page.stem == name and (name != "README" or page.parent == ROOT))
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page):
        exec(compile(block, f"{name_of(page)}", "exec"), namespace)


NUMBER = r"\d[\d,]*(?:\.\d+)?"
UNITS = r"(?:%|times|s|ms|us|MB|seconds)"
WITH_UNIT = re.compile(rf"(?<![\w.])({NUMBER})(?=(?: {UNITS})?(?: ±| to| and)? ?[+-]?(?:{NUMBER})? {UNITS}(?![\w]))")
RESULTS = re.compile(r"\]\(((?:\.\./)*benchmarks/results/\w+\.txt|results/\w+\.txt)\)")


def numbers(text):
    """The numbers of a text, each with how many decimals it has."""
    return [
        (float(each.replace(",", "")), len(each.partition(".")[2])) for each in re.findall(rf"(?<![\w.]){NUMBER}", text)
    ]


def plain(text):
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", without_code(text))


def claims(page):
    """The figures of a page beside links to results, as (text, results): of prose those with a unit, of a table all in
    its columns after the first. A table without links of its own has those of the paragraph that follows it.
    """
    blocks = [block for block in re.split(r"\n\s*\n|\n(?=- )", page.read_text()) if not block.startswith("```")]
    for block, following in zip(blocks, [*blocks[1:], ""], strict=True):
        if not block.startswith("|"):
            if linked := RESULTS.findall(block):
                yield WITH_UNIT.findall(plain(block)), linked, block
            continue
        for row in block.splitlines()[2:]:
            _, *cells = row.strip("|").split("|")
            of_row = RESULTS.findall(row) if RESULTS.search(block) else RESULTS.findall(following)
            if not of_row:
                continue
            # Prose about a test stands in other cells than the one with its results.
            cells = [cell for cell in cells if RESULTS.search(cell)] or cells
            for cell in cells:
                prose = len(plain(cell).split()) > 8
                found = WITH_UNIT.findall(plain(cell)) if prose else re.findall(rf"(?<![\w.]){NUMBER}", plain(cell))
                yield found, of_row, row


def is_in(figure, known):
    """Whether a number is one of a file's, as it is or rounded."""
    ((value, decimals),) = numbers(figure)
    return any(abs(value - each) <= 0.5 * 10**-decimals + 1e-9 for each in known)


def ratios(text):
    """The quotients of two numbers of a row, which tables give beside them."""
    values = [value for value, _ in numbers(plain(text)) if value]
    return [one / other for one, other in permutations(values, 2)]


DERIVED = {"docs/gpu.md": {"8", "35", "0.72", "0.76", "0.21", "0.38"}}
"""Figures of prose that are quotients of two in the file that they stand beside; in tables these are recognised."""


def test_figures_beside_a_link_to_results_are_in_that_file():
    wrong, found, files = [], 0, set()
    for page in PAGES:
        for figures, linked, text in claims(page):
            paths = [(page.parent / path).resolve() for path in linked]
            files.update(paths)
            known = [value for path in paths for value, _ in numbers(path.read_text())] + (
                ratios(text) if text.startswith("|") else []
            )
            for figure in figures:
                found += 1
                if not is_in(figure, known) and figure not in DERIVED.get(name_of(page), ()):
                    wrong.append(f"{name_of(page)}: {figure} is not in {[path.name for path in paths]}: {text[:80]}")
    assert found > 100
    assert len(files) > 25
    assert wrong == []
