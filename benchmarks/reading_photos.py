"""Seconds, peak memory and time to the first line of progress when a folder of 12-megapixel photographs is read.

An earlier commit of this project and this one take turns. Each measurement is a process of its own that reads a folder
of two classes by `ImageFolderDataSource`, as training does. The folder has many copies of a few synthetic photographs:
sums of noise of all scales, with as much detail as a camera's. The file cache of the system is warm. Progress is
printed to standard error, which is not a terminal.
"""

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import ROOT, keep
from PIL import Image

SIZE, DRAWN = (4000, 3000), 6


def draw(folder: Path):
    """A few photographs, in a process of its own: what it needs would be counted as its children's."""
    rng = np.random.default_rng(0)
    for index in range(DRAWN):
        photo = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
        for scale in (4, 16, 64, 256, 1024):
            sides = SIZE[0] // scale + 1, SIZE[1] // scale + 1
            noise = rng.integers(0, 256, (sides[1], sides[0], 3), np.uint8)
            photo += np.asarray(Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)) * scale**0.5
        photo += rng.normal(0, 8 * 64, photo.shape[:2])[..., np.newaxis]
        photo = (photo - photo.min()) * (255 / (photo.max() - photo.min()))
        Image.fromarray(photo.astype(np.uint8)).save(folder / f"{index}.jpg", quality=88)


def laid_out(folder: Path, count: int) -> Path:
    """A folder of so many names of the photographs, in two classes."""
    for index in range(count):
        place = folder / f"{count}" / ("cat", "dog")[index % 2] / f"{index:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / f"{index % DRAWN}.jpg", place)
    return folder / f"{count}"


def read(root: str, folder: str):
    """Reads a folder with the project in the folder `root`; prints seconds and the peak of memory."""
    sys.path.insert(0, root)
    from ai_library import ImageFolderDataSource

    told = {}
    with contextlib.suppress(ImportError):  # an earlier commit, which shows no progress
        from ai_library.runtime import display

        told["progress"] = lambda images, total: display.counted(images, "reading images", total)
    begun = time.perf_counter()
    print("begins", file=sys.stderr, flush=True)
    source = ImageFolderDataSource(folder, image_size=64, channels=3, **told)
    for split in ("train", "validation", "evaluation"):
        source.size(split)
    print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measured(root, folder):
    """Seconds, peak in MB, and seconds until the first line of progress, or None."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--read", str(root), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = begun = None
    for line in process.stderr:
        if line.startswith("begins"):
            begun = time.perf_counter()
        elif begun and first is None:
            first = time.perf_counter() - begun
    seconds, peak = map(float, process.stdout.read().split())
    if process.wait():
        raise RuntimeError(f"{root} ended with status {process.returncode}")
    return seconds, peak, first


@contextlib.contextmanager
def checked_out(commit):
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=place, check=True)
        yield place


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default="9afeb4c", help="commit to compare with (%(default)s)")
    parser.add_argument("--photos", type=int, nargs="+", default=[100, 2_000], help="how many (%(default)s)")
    parser.add_argument("--before-at-most", type=int, default=100, help="photos that the old one reads (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(*arguments.read)
        return
    if arguments.draw:
        draw(arguments.draw)
        return
    lines = [f"{'photos':>6}  {'':<14} {'seconds':>8} {'a photo':>8} {'peak MB':>8} {'first sign of progress':>23}"]
    with checked_out(arguments.before) as before, tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, __file__, "--draw", place], check=True)
        for count in arguments.photos:
            folder = laid_out(Path(place), count)
            ways = {"now": ROOT, **({arguments.before: before} if count <= arguments.before_at_most else {})}
            found = {name: [] for name in ways}
            for _ in range(arguments.rounds):
                for name, root in ways.items():
                    found[name].append(measured(root, folder))
            for name, rows in found.items():
                seconds, peak = (statistics.median(row[i] for row in rows) for i in (0, 1))
                signs = [row[2] for row in rows if row[2] is not None]
                sign = f"{max(signs):.2f} s" if signs else "none"
                lines.append(f"{count:6,}  {name:<14} {seconds:8.2f} {seconds / count:8.3f} {peak:8.0f} {sign:>23}")
            if len(found) == 2:
                ratios = [old[0] / new[0] for new, old in zip(found["now"], found[arguments.before], strict=True)]
                lines.append(
                    f"        {statistics.median(ratios):.1f} times faster, the median of {len(ratios)} rounds"
                )
    keep("reading_photos", lines, "pillow")


if __name__ == "__main__":
    main()
