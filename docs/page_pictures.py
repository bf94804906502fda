"""Makes the screenshots in ship.md: exported pages with a drawing, in Chromium. Run: python docs/page_pictures.py

It needs Debian's chromium and the `dev` extra.
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

from ai_library import export_page, load_model

STAR = [(0.5, 0.15), (0.7, 0.8), (0.15, 0.4), (0.85, 0.4), (0.3, 0.8), (0.5, 0.15)]
TWO = [
    (0.33, 0.33),
    (0.36, 0.25),
    (0.43, 0.2),
    (0.56, 0.2),
    (0.64, 0.26),
    (0.66, 0.36),
    (0.6, 0.5),
    (0.35, 0.78),
    (0.7, 0.78),
]
PICTURES = {
    "shapes": (STAR, {"viewport": {"width": 1040, "height": 720}}),
    "mnist": (
        TWO,
        {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"},
    ),
}


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for name, (stroke, device) in PICTURES.items():
            path = Path(folder) / f"{name}.html"
            export_page(path, load_model(ROOT / f"ai_application/models/{name}.msgpack"))
            page = browser.new_page(**device)
            page.goto(path.as_uri())
            board = page.locator("#board").bounding_box()
            for index, (x, y) in enumerate(stroke):
                page.mouse.move(board["x"] + x * board["width"], board["y"] + y * board["height"])
                if index == 0:
                    page.mouse.down()
            page.mouse.up()
            page.wait_for_selector("#status:not(:empty)", state="attached")
            page.wait_for_timeout(300)  # the bars grow
            picture = Image.open(io.BytesIO(page.screenshot())).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
            picture.save(ROOT / f"docs/page_{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
