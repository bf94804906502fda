"""Size of the image, and seconds from `docker run` to the results: ours, and the same application on TensorFlow.

The peer (`container_peer/`) has the same network and weights as a Keras model. It predicts the same committed images
and writes the same table, metrics and confusion matrix with Keras, scikit-learn and matplotlib. Its requirements are
ours with TensorFlow instead of JAX, Flax and Optax, and without packages that only our code needs. Needs a Docker
engine, and keras (requirements-bench.txt) to convert the weights. Both take turns, after one run each that is not
counted.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import load_model

OURS, PEER = "ai-application-measured", "ai-application-tensorflow"
SHAPES = ROOT / "ai_application/models/shapes.msgpack"
REQUIREMENTS = ("tensorflow", "tensorflow-datasets", "tensorboard", "scikit-learn", "matplotlib", "pillow")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="counted runs of each (%(default)s)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["git", "clone", "--quiet", ROOT, f"{place}/clone"], check=True)
        _docker("build", "--tag", OURS, f"{place}/clone")
        _docker("build", "--tag", PEER, _peer(Path(place, "peer")))
        seconds = {OURS: [], PEER: []}
        for run in range(arguments.runs + 1):
            for tag, taken in seconds.items():
                results = Path(place, f"results-{run}-{tag}")
                results.mkdir()
                results.chmod(0o777)
                start = time.perf_counter()
                said = _docker("run", "--rm", "--network=none", f"--volume={results}:/results", tag)
                if run:
                    taken.append(time.perf_counter() - start)
                else:
                    print(tag, next(line for line in said.splitlines() if "accuracy" in line), flush=True)
    base = _size("python:3.13-slim")
    lines = [f"{'image':<28}{'size':>9}{'above the base':>16}{'seconds: median':>18}{'least':>8}{'most':>8}"]
    for tag, taken in seconds.items():
        lines.append(
            f"{tag:<28}{_size(tag) / 1e6:>6,.0f} MB{(_size(tag) - base) / 1e6:>13,.0f} MB"
            f"{statistics.median(taken):>18.2f}{min(taken):>8.2f}{max(taken):>8.2f}"
        )
    ratio = statistics.median(theirs / ours for ours, theirs in zip(*seconds.values(), strict=True))
    images = len(list(ROOT.glob("ai_application/evaluation/shapes/*/*.png")))
    packages = _docker("run", "--rm", "--entrypoint=pip", PEER, "--python=/venv", "freeze")
    lines += [
        "",
        f"Peer: {_size(PEER) / _size(OURS):.2f} times the size, {ratio:.2f} times the seconds (median of ratios)",
        f"{arguments.runs} runs of each, in turn, on {images} images",
        f"Its packages: {packages.replace(chr(10), ' ')}",
    ]
    keep("container", lines)
    _docker("image", "rm", "--force", OURS, PEER)


def _peer(folder):
    """The peer's build context: its files here, the weights converted, the images, the requirements."""
    shutil.copytree(ROOT / "benchmarks/container_peer", folder)
    shutil.copytree(ROOT / "ai_application/evaluation/shapes", folder / "images")
    (folder / "images/classes.json").write_text(json.dumps(load_model(SHAPES).class_names))
    (folder / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n")
    convert = [sys.executable, folder / "convert.py", SHAPES, folder / "model.keras"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"}
    subprocess.run(convert, check=True, env=environment)
    return folder


def _docker(*arguments):
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"docker {arguments[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def _size(tag):
    return int(_docker("image", "inspect", "--format={{.Size}}", tag))


if __name__ == "__main__":
    main()
