"""The pages of the committed models in Chromium: their size, the time per answer, and the difference from Python's.

An answer's time is that of fitting the pixels and running the network, in milliseconds, after a first pass.
"""

import argparse
import gzip
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import ROOT, keep
from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(ROOT))

from ai_library import export_page, load_model

DIGITS = 200
COLLECT = """count => {
    const found = [];
    window.collected = new Promise((done) => document.addEventListener("answer", function collect({ detail }) {
        if (found.push(detail) < count) return;
        document.removeEventListener("answer", collect);
        done(found);
    }));
}"""


def answers(page, files):
    """The page's answers for several files that are opened together."""
    page.evaluate(COLLECT, len(files))
    page.set_input_files("#files", [str(file) for file in files])
    return page.evaluate("window.collected")


def digit_files(mnist_files, folder):
    """MNIST's first test digits as PNG files."""
    with gzip.open(mnist_files / "t10k-images-idx3-ubyte.gz") as file:
        digits = np.frombuffer(file.read(16 + DIGITS * 784)[16:], np.uint8).reshape(DIGITS, 28, 28)
    for index, digit in enumerate(digits):
        Image.fromarray(digit).save(folder / f"{index:03}.png")
    return sorted(folder.glob("*.png"))


def measured(name, files, browser, folder):
    """A line of the table."""
    classifier = load_model(ROOT / f"ai_application/models/{name}.msgpack")
    path = folder / f"{name}.html"
    export_page(path, classifier)
    page = browser.new_page()
    page.goto(path.as_uri())
    answers(page, files)
    found = answers(page, files)
    page.close()
    times = [each["milliseconds"] for each in found]
    probabilities, wanted = np.array([each["probabilities"] for each in found]), classifier.predict_proba(files)
    changed = (probabilities.argmax(axis=1) != wanted.argmax(axis=1)).sum()
    return (
        f"{name:8} {len(files):6} {path.stat().st_size:10,} {np.median(times):8.1f} {np.percentile(times, 95):8.1f} "
        f"{np.abs(probabilities - wanted).max():11.1e} {changed:8}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist_files", type=Path, metavar="MNIST_FILES", help="the folder with MNIST's four files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, options = Path(name), ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        shapes = sorted((ROOT / "ai_application/evaluation/shapes").glob("*/*.png"))
        cases = {"shapes": shapes, "mnist": digit_files(arguments.mnist_files, folder)}
        lines = [
            f"Chromium {browser.version}, headless, without a GPU",
            "",
            f"{'':8} {'images':>6} {'bytes':>10} {'median':>8} {'p95':>8} {'difference':>11} {'changed':>8}",
            *(measured(name, files, browser, folder) for name, files in cases.items()),
        ]
        browser.close()
    keep("page", lines, "playwright", "pillow", "numpy")


if __name__ == "__main__":
    main()
