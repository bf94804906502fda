"""Compares exported models with the original classifiers, on 10,000 images of shapes and of MNIST.

Reports the largest difference of a probability and the number of changed classes, for ONNX in ONNX Runtime and
StableHLO in JAX: with the committed models, and with a `ResNet` trained on a few coloured shapes of an odd size.
"""

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_application.mnist import MnistDataSource
from ai_library import ArrayDataSource, ResNet, ShapeDataSource, TrainConfig, Trainer, load_model
from ai_library.export.onnx_file import export_onnx
from ai_library.export.stablehlo_file import PROGRAM, export_stablehlo

IMAGES = 10_000
BATCHES = (1, 7, 128, 5_000)


def coloured(images):
    """Grey images (n, h, w, 1) in three shades and without their last two columns: (n, h, w - 2, 3)."""
    return np.concatenate([images, 255 - images, images // 2], axis=3)[:, :, :-2]


def cases(arguments):
    """Yields a name, a classifier and the images of each case."""
    models, shapes = ROOT / "ai_application" / "models", ShapeDataSource()
    images, _ = shapes.examples("evaluation", range(IMAGES))
    yield "shapes, CNN, 64x64x1", load_model(models / "shapes.msgpack"), images
    digits = MnistDataSource(files=arguments.mnist_files).examples("evaluation", range(IMAGES))[0]
    yield "MNIST, CNN, 28x28x1", load_model(models / "mnist.msgpack"), digits
    few, labels = shapes.examples("train", range(3_000))
    parts = {"train": (coloured(few[:2_800]), labels[:2_800]), "validation": (coloured(few[2_800:]), labels[2_800:])}
    source = ArrayDataSource(**parts, evaluation=parts["validation"], class_names=shapes.class_names)
    model = ResNet(num_classes=shapes.num_classes)
    trained = Trainer(model, source, TrainConfig(epochs=4), False, verbose=False).fit()
    yield "shapes, ResNet, 64x62x3", trained, coloured(images)


def in_batches(function, images):
    """What a function gives for images in batches of several sizes, together."""
    found, start = [], 0
    for size in (*BATCHES, len(images) - sum(BATCHES)):
        found.append(np.asarray(function(images[start : start + size])))
        start += size
    return np.concatenate(found)


def measured(name, classifier, images, folder):
    """Lines on both formats."""
    import jax
    import onnxruntime

    export_onnx(folder / "m.onnx", classifier)
    export_stablehlo(folder / "m.zip", classifier)
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    with zipfile.ZipFile(folder / "m.zip") as archive:
        program = jax.export.deserialize(bytearray(archive.read(PROGRAM)))
    wanted = classifier.predict_proba(images)
    functions = {"ONNX": lambda batch: session.run(None, {"images": batch})[0], "StableHLO": jax.jit(program.call)}
    for kind, function in functions.items():
        found = in_batches(function, images)
        changed = (found.argmax(axis=1) != wanted.argmax(axis=1)).sum()
        yield f"{name:26} {kind:10} {np.abs(found - wanted).max():.1e}  {changed}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist-files", type=Path, metavar="DIR", help="MNIST's four official files")
    arguments = parser.parse_args()
    lines = [f"{IMAGES:,} images each, in batches of {', '.join(map(str, BATCHES))} and the rest", ""]
    lines.append(f"{'':37} largest difference, classes changed")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(arguments):
            lines += measured(*case, Path(folder))
    keep("exports", lines, "jax", "flax", "onnx", "onnxruntime", "numpy")


if __name__ == "__main__":
    main()
