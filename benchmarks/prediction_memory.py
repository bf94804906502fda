"""Peak memory of `predict.py` on folders of 1,000, 10,000 and 100,000 images, with and without their classes.

A folder holds links to the committed evaluation images, in a sub-folder for each class or all side by side; each
prediction is a process of its own. Of images with a class the probabilities are held for the metrics.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT, keep

IMAGES = ROOT / "ai_application/evaluation/shapes"
COUNTS = (1_000, 10_000, 100_000)


def measure(count, classes, place):
    """Peak resident bytes and seconds of a prediction of `count` images in the folder `place`."""
    originals = sorted(IMAGES.glob("*/*.png"))
    for index in range(count):
        original = originals[index % len(originals)]
        link = place / "images" / (original.parent.name if classes else "") / f"{index:06}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(original)
    command = ["scripts/predict.py", "--data", place / "images", "--output", place / "results"]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # which Popen would wait for in vain
    with open(place / "results/predictions.csv") as file:
        rows = sum(1 for _ in file) - 1
    if process.returncode or rows != count:
        raise RuntimeError(f"predict.py ended with status {process.returncode} and {rows} rows of {count}")
    return usage.ru_maxrss * 1024, seconds


def main():
    lines = [f"{'images':>8}{'classes':>9}{'peak MB':>9}{'above the first':>17}{'seconds':>9}{'images/s':>10}"]
    for classes in (False, True):
        first = None
        for count in COUNTS:
            with tempfile.TemporaryDirectory() as place:
                peak, seconds = measure(count, classes, Path(place))
            first = first or peak
            lines.append(
                f"{count:>8,}{'yes' if classes else 'no':>9}{peak / 1e6:>9.0f}{peak / first - 1:>17.1%}{seconds:>9.1f}"
                f"{count / seconds:>10.0f}"
            )
            print(lines[-1], flush=True)
    keep("prediction_memory", lines, "jax", "pillow", "numpy")


if __name__ == "__main__":
    main()
