"""The command that compares two models, run as a user runs it."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from ai_application import EVALUATION
from ai_application.tests.test_scripts import SHAPES_MODEL, run
from ai_library import load_model, save_model


@pytest.fixture(scope="module")
def weaker(tmp_path_factory):
    """The committed model with noise in its weights."""
    classifier, rng = load_model(SHAPES_MODEL), np.random.default_rng(0)

    def noisy(leaf):
        return leaf + np.float32(0.8 * leaf.std()) * rng.normal(size=leaf.shape).astype(np.float32)

    variables = {**classifier.variables, "params": jax.tree.map(noisy, classifier.variables["params"])}
    path = tmp_path_factory.mktemp("models") / "weaker.msgpack"
    save_model(path, dataclasses.replace(classifier, variables=variables))
    return path


@pytest.mark.slow
def test_the_better_model_is_named(weaker):
    status, output, errors = run("compare_models.py", weaker, SHAPES_MODEL)
    assert status == 0, errors
    assert "The second one is better." in output
    assert "n = 450" in output


@pytest.mark.slow
def test_images_in_sub_folders_of_classes_are_groups(weaker, tmp_path):
    for path in sorted(EVALUATION.glob("shapes/*/*.png")):
        film = tmp_path / "films" / path.parent.name / str(int(path.stem) % 2)
        film.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, film)
    outputs = [
        run("compare_models.py", weaker, SHAPES_MODEL, "--data", tmp_path / "films", "--groups", groups)[1]
        for groups in ("folders", "none")
    ]
    assert ["in 18 groups" in output for output in outputs] == [True, False]
    assert ["sign-flip test" in output for output in outputs] == [True, False]


def test_a_model_is_no_better_than_itself(tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 1), np.uint8), np.arange(18) % 9
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    status, output, errors = run("compare_models.py", SHAPES_MODEL, SHAPES_MODEL, "--data", tmp_path / "data.npz")
    assert status == 0, errors
    assert "+0.00 points" in output
    assert "The data do not tell which one is better." in output


def test_images_that_are_left_out_are_told(tmp_path):
    for name in ("star", "cross"):
        shutil.copytree(EVALUATION / "shapes" / name, tmp_path / name)
    (tmp_path / "star/broken.png").write_text("no image")
    shutil.copy(next((tmp_path / "star").glob("0*.png")), tmp_path / "loose.png")
    status, output, errors = run("compare_models.py", SHAPES_MODEL, SHAPES_MODEL, "--data", tmp_path)
    assert status == 0, errors
    assert "2 images left out: loose.png (without a label), star/broken.png (not an image" in output


def test_data_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 64, 64), np.uint8))
    status, _, errors = run("compare_models.py", SHAPES_MODEL, SHAPES_MODEL, "--data", tmp_path / "data.npz")
    assert status == 1
    assert errors.startswith("error:")
    assert "no readable image with a label" in errors
