"""Accuracy of the committed MNIST model on digits on uneven paper, with an earlier commit of this project and this one.

Test images of MNIST are drawn as ink onto synthetic sheets: with uneven light, a shadow, folds with a step and a
crease, paper grain, sensor noise, a coloured pen, and JPEG compression. `--kind` names what differs in a kind of
sheet. Nothing was tuned on the seed that is used here.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import ROOT, keep
from PIL import Image, ImageFilter

PENS = ((25, 35, 120), (20, 20, 20), (150, 30, 30), (30, 90, 50), (60, 60, 70), (90, 50, 130), (20, 70, 160))
MARKERS = ((230, 120, 30), (90, 160, 230), (230, 60, 140), (120, 190, 60))
KINDS = {
    # smallest and largest side of the sheet in pixels, smallest and largest side of MNIST's frame as a share of that
    "sheets": (120, 420, 0.35, 0.85),
    "small sheets": (48, 100, 0.5, 1.0),
    "large photographs": (700, 1400, 0.2, 0.8),
    "filled sheets": (100, 250, 0.98, 1.0),
    "small digits": (200, 400, 0.15, 0.3),
    "ruled paper": (150, 400, 0.4, 0.8),
    "light markers": (120, 300, 0.4, 0.9),
    "chalk on a board": (120, 300, 0.4, 0.9),
}


def sheet(digit: np.ndarray, kind: str, rng: np.random.Generator) -> Image.Image:
    """A digit (28, 28) uint8 on a sheet of a kind."""
    smallest, largest, *shares = KINDS[kind]
    height, width = (int(side) for side in rng.integers(smallest, largest, 2))
    paper, ink = rng.integers(200, 250) + rng.integers(-14, 6, 3), np.array(PENS[rng.integers(len(PENS))])
    if kind == "light markers":
        ink = np.array(MARKERS[rng.integers(len(MARKERS))])
    if kind == "chalk on a board":
        paper, ink = np.array([40, 70, 50]) + rng.integers(-10, 10, 3), np.array([225, 225, 215])
    y, x = np.mgrid[0:height, 0:width]
    y, x = y / height - 0.5, x / width - 0.5

    def across(angle):
        return np.cos(angle) * x + np.sin(angle) * y

    def angle():
        return rng.uniform(0, 2 * np.pi)

    light = 1 - rng.uniform(0, 0.7) * (0.5 + across(angle()) / 1.42)
    light *= 1 - rng.uniform(0, 1) * (x**2 + y**2)
    if rng.random() < 0.4:  # the shadow of a hand
        edge = across(angle()) - rng.uniform(0.1, 0.4)
        light *= 1 - rng.uniform(0.1, 0.4) / (1 + np.exp(-edge * rng.uniform(15, 60)))
    for _ in range(rng.integers(0, 4)):  # folds
        distance = across(angle()) - rng.uniform(-0.4, 0.4)
        light *= 1 - rng.uniform(0, 0.12) * (distance > 0)
        crease = np.exp(-((distance * max(height, width) / rng.uniform(0.8, 2 + max(height, width) / 400)) ** 2))
        light *= 1 - rng.uniform(-0.15, 0.25) * crease
    picture = paper * light[..., np.newaxis]
    if kind == "ruled paper":
        lines = np.abs((y * rng.integers(6, 12) + rng.random()) % 1 - 0.5) * height / 8 < 0.7
        picture *= 1 - 0.25 * lines[..., np.newaxis] * np.array([1, 0.7, 0.3])
    side = int(rng.uniform(*shares) * min(height, width))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    cover = np.zeros((height, width, 1))
    resized = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    cover[top : top + side, left : left + side, 0] = np.asarray(resized) / 255 * rng.uniform(0.7, 1)
    picture = picture * (1 - cover) + ink * light[..., np.newaxis] ** 0.5 * cover
    grain = Image.fromarray(rng.normal(128, 40, (height, width)).clip(0, 255).astype(np.uint8))
    grain = np.asarray(grain.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 3))), float)[..., np.newaxis] - 128
    picture += rng.uniform(0, 0.6) * grain + rng.normal(0, rng.uniform(1, 9), picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def draw(folder: Path, mnist: Path, kind: str, count: int):
    """Sheets as JPEGs in sub-folders named like their digits."""
    with gzip.open(mnist / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)
    with gzip.open(mnist / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)
    rng = np.random.default_rng([2026, list(KINDS).index(kind)])
    for index in rng.permutation(len(images))[:count]:
        place = folder / str(labels[index]) / f"{index}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        sheet(images[index], kind, rng).save(place, quality=int(rng.integers(60, 96)))


def accuracy(root: str | Path, folder: Path) -> str:
    """The accuracy on labelled images that the project in the folder `root` prints."""
    with tempfile.TemporaryDirectory() as output:
        model = ROOT / "ai_application/models/mnist.msgpack"
        command = [sys.executable, "scripts/predict.py", "--model", model, "--data", folder, "--output", output]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return next(line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("accuracy"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", type=Path, help="folder of the four official files")
    parser.add_argument("--count", type=int, default=1000, help="sheets of each kind (%(default)s)")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--before", default="9afeb4c", help="commit to compare with (%(default)s)")
    arguments = parser.parse_args()
    lines = [f"{'':<18} {'now':<40} {arguments.before}"]
    with tempfile.TemporaryDirectory() as before:
        subprocess.run(["git", "clone", "--quiet", ROOT, before], check=True)
        subprocess.run(["git", "checkout", "--quiet", arguments.before], cwd=before, check=True)
        for kind in arguments.kind:
            with tempfile.TemporaryDirectory() as folder:
                draw(Path(folder), arguments.mnist, kind, arguments.count)
                found = [accuracy(root, Path(folder)) for root in (ROOT, before)]
            lines.append(f"{kind:<18} {found[0]:<40} {found[1]}")
            print(lines[-1], flush=True)
    sys.argv[1:] = ["MNIST_FILES" if word == str(arguments.mnist) else word for word in sys.argv[1:]]
    keep("digits_on_paper", lines, "pillow")


if __name__ == "__main__":
    main()
