"""One image is predicted without waiting for JAX."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ai_library import Classifier, load_model
from ai_library.data.images.reading import read_image

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "ai_application/models").glob("*.msgpack"))
IMAGES = sorted((ROOT / "ai_application/evaluation/shapes").rglob("*.png"))
SLOW = {"jax", "jaxlib", "flax", "optax", "torch", "scipy", "sklearn", "matplotlib", "tensorboardX", "tqdm"}
REPORT_IMPORTS = """
import runpy, sys
try:
    runpy.run_path("scripts/predict.py", run_name="__main__")
finally:
    print({name.partition(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_one_image_is_predicted_without_the_packages_that_start_slowly(model, tmp_path):
    drawn = Image.new("RGB", (150, 100), "white")  # on an even ground: for the search of another, scipy is imported
    ImageDraw.Draw(drawn).ellipse((50, 15, 100, 85), outline="black", width=8)
    drawn.save(tmp_path / "one.jpg")
    command = [sys.executable, "-c", REPORT_IMPORTS, "--model", model, "--data", tmp_path / "one.jpg"]
    done = subprocess.run(
        [*command, "--output", tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = eval(done.stdout.splitlines()[-1])
    assert {"numpy", "PIL", "ai_library"} <= imported
    assert not imported & SLOW
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.csv", "report.html"}


@pytest.mark.slow
def test_many_images_are_predicted_without_jax(tmp_path):
    assert len(IMAGES) >= Classifier.FEW
    command = [sys.executable, "-c", REPORT_IMPORTS, "--unlabelled", "--data", IMAGES[0].parents[1]]
    done = subprocess.run(
        [*command, "--output", tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = eval(done.stdout.splitlines()[-1])
    assert "onnxruntime" in imported
    assert not imported & SLOW


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_the_committed_models_tell_few_images_what_they_tell_many(model):
    classifier = load_model(model)
    images = np.stack([read_image(path, classifier.image_shape, classifier.content_size) for path in IMAGES])
    assert len(images) >= Classifier.FEW
    many = np.concatenate(list(classifier.predict_logits([images], by_onnx="many")))
    few = next(classifier.predict_logits([images[::5]]))
    np.testing.assert_allclose(few, many[::5], rtol=0, atol=1e-5 * np.abs(many).max())
