"""Which engine predicts on a CPU: numpy, JAX, or ONNX Runtime; and `predict.py`, which chooses among them.

    python benchmarks/engines.py [--images 1 100 10000] [--rounds 5]

Measures whole processes in turns, in seconds. Each reads a model and uint8 images from files and computes their
probabilities. ONNX Runtime reads a graph that `export_onnx` wrote before. Writing it when a model is loaded would add
the time of `import onnx`, which is given separately. All must give the same probabilities within 1e-5.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import ROOT, keep, ratio

sys.path.insert(0, str(ROOT))

MODEL = ROOT / "ai_application/models/shapes.msgpack"
CHOSEN, NUMPY, JAX, ONNX = "as predict.py chooses", "numpy", "JAX", "ONNX Runtime"
SLOW = 1000  # more images than numpy is tried with


def by_onnx(model, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    blocks = [images[start : start + 128] for start in range(0, len(images), 128)]
    return np.concatenate([session.run(None, {"images": block})[0] for block in blocks])


def by_classifier(engine, model, images):
    from ai_library import load_model
    from ai_library.networks.numpy_cnn import logits_by_numpy

    classifier = load_model(model)
    if engine == NUMPY:
        logits = logits_by_numpy(classifier.architecture, classifier.variables, images)
    elif engine == JAX:
        predict, block = classifier._by_jax()
        logits = np.concatenate([predict(images[start : start + block]) for start in range(0, len(images), block)])
    else:
        logits = np.concatenate(list(classifier.predict_logits([images], by_onnx="many")))
    return classifier.probabilities(logits)


def predict(engine, model, images, output):
    """The work of a contestant's process."""
    images = np.load(images)
    np.save(output, by_onnx(model, images) if engine == ONNX else by_classifier(engine, model, images))


def process(*arguments):
    """Seconds of a process of this Python."""
    start = time.perf_counter()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as the commands have it
    subprocess.run([sys.executable, *map(str, arguments)], check=True, env=environment)
    return time.perf_counter() - start


def measure(place, count, rounds):
    """{engine: [seconds]} on some of the generated images."""
    from ai_library import ShapeDataSource

    engines = [each for each in (CHOSEN, NUMPY, JAX, ONNX) if each != NUMPY or count <= SLOW]
    models = {engine: place / "shapes.onnx" if engine == ONNX else MODEL for engine in engines}
    images = place / f"{count}.npy"
    drawn = ShapeDataSource(seed=1).batches("evaluation", batch_size=min(count, 1000))
    repeated = itertools.cycle([batch for batch, _ in drawn])
    np.save(images, np.concatenate([next(repeated) for _ in range(-(-count // 1000))])[:count])
    taken = {engine: [] for engine in engines}
    for round_ in range(rounds + 1):  # the first round fills the disk cache, and is not counted
        for engine in engines:
            used = process(__file__, "--run", engine, models[engine], images, place / f"{engine}.npy")
            taken[engine] += [used] if round_ else []
        for engine in engines:
            furthest = np.abs(np.load(place / f"{engine}.npy") - np.load(place / f"{CHOSEN}.npy")).max()
            if furthest > 1e-5:
                raise RuntimeError(f"{engine} is {furthest} off")
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 100, 10_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    from ai_library import export_onnx, load_model  # not imported by the measured processes

    lines = []
    with tempfile.TemporaryDirectory() as place:
        export_onnx(Path(place, "shapes.onnx"), load_model(MODEL))
        for count in arguments.images:
            taken = measure(Path(place), count, arguments.rounds)
            lines.append(f"{f'{count:,} image' + 's' * (count > 1):<24}{'seconds':>9}{'of ONNX Runtime':>22}")
            for engine, seconds in taken.items():
                median, times = statistics.median(seconds), ratio(seconds, taken[ONNX])
                lines.append(f"{engine:<24}{median:>9.3f}{times:>16.2f} times")
            lines.append("")
    for module in ("numpy", "numpy, onnxruntime", "numpy, onnx", "numpy, jax", "numpy, jax, flax.linen"):
        imported = statistics.median(process("-c", f"import {module}") for _ in range(arguments.rounds))
        lines.append(f"a process that imports {module:<24}{imported:>6.3f} seconds")
    keep("engines", lines, "jax", "flax", "numpy", "onnx", "onnxruntime")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        predict(*sys.argv[2:])
    else:
        main()
