"""Makes the screenshots of the models' `report.html` in Chromium: python docs/report_pictures.py MNIST_FILES

MNIST_FILES is the folder with MNIST's four official files. It needs Debian's chromium and the `dev` extra.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ai_application.mnist import MnistDataSource
from ai_library import ShapeDataSource, evaluate, load_model
from ai_library.reporting.findings import examine
from ai_library.reporting.page import write_findings


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        sources = {"shapes": ShapeDataSource(), "mnist": MnistDataSource(data_dir=folder, files=sys.argv[1])}
        for name, source in sources.items():
            classifier = load_model(ROOT / f"ai_application/models/{name}.msgpack")
            command = f"python scripts/train_{name}.py"
            write_findings(examine(classifier, source, evaluate(classifier, source), command), Path(folder) / name)
            page = browser.new_page(viewport={"width": 1000, "height": 1500})
            page.goto((Path(folder) / name / "report.html").as_uri())
            picture = Image.open(io.BytesIO(page.screenshot())).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
            picture.save(ROOT / f"docs/report_{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
