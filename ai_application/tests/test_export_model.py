"""`export_model.py` writes what other software runs, and says in a line what it cannot write."""

import json
import zipfile

import jax
import numpy as np
import onnxruntime
import pytest

from ai_application.commands import export_model
from ai_library import Classifier, load_model, save_model
from ai_library.networks.initial import initialise
from ai_library.tests import own_networks
from ai_library.tests.model_files import small_classifier

OWN = ["--network", f"{own_networks.__file__}:Linear"]


@pytest.fixture
def export(monkeypatch, capsys):
    """A function that runs the command in this process; it returns status, output and errors."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["export_model.py", *map(str, arguments)])
        return export_model.main(), *capsys.readouterr()

    return run


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "m.msgpack", small_classifier(("ant", "bee"), fill=0.01))
    return tmp_path / "m.msgpack"


@pytest.fixture
def own_model(tmp_path):
    network, shape = own_networks.made(own_networks.Linear), (8, 8, 1)
    variables = jax.tree.map(np.asarray, initialise(network, 0, shape))
    save_model(tmp_path / "own.msgpack", Classifier(network, variables, ("a", "b", "c"), shape))
    return tmp_path / "own.msgpack"


def test_onnx_and_stablehlo_of_a_model_file(model, export, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    wanted = load_model(model).predict_proba(images)
    for kind in ("onnx", "stablehlo"):
        status, output, errors = export(model, "--format", kind, "--output", tmp_path / kind)
        assert (status, errors) == (0, "")
        assert f"{kind}: {(tmp_path / kind).stat().st_size:,} bytes" in output
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "onnx")).run(None, {"images": images})
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    with zipfile.ZipFile(tmp_path / "stablehlo") as archive:
        assert json.loads(archive.read("classifier.json"))["class_names"] == ["ant", "bee"]


def test_a_page_of_a_model_file(model, export, tmp_path):
    status, output, errors = export(model, "--format", "page", "--output", tmp_path / "page.html")
    assert (status, errors) == (0, "")
    assert f"page.html: {(tmp_path / 'page.html').stat().st_size:,} bytes" in output
    assert '"class_names": ["ant", "bee"]' in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_network_of_ones_own_is_exported_for_jax_and_not_as_onnx(own_model, export, tmp_path):
    status, output, errors = export(own_model, *OWN, "--format", "onnx", "--output", tmp_path / "m.onnx")
    assert (status, output, errors.count("\n")) == (1, "", 1)
    assert "error: ONNX is written for CNN and ResNet, not for Linear" in errors
    assert export(own_model, *OWN, "--format", "stablehlo", "--output", tmp_path / "m.zip")[0] == 0
    assert (tmp_path / "m.zip").exists()
    assert not (tmp_path / "m.onnx").exists()


def test_the_model_itself_is_not_written_over(model, export, tmp_path):
    before = model.read_bytes()
    status, _, errors = export(model, "--format", "onnx", "--output", tmp_path / "." / "m.msgpack")
    assert (status, errors) == (1, f"error: {model} is the model itself, or its network: choose another --output\n")
    assert model.read_bytes() == before


def test_a_model_that_is_not_there_is_named_and_an_older_file_stays(export, tmp_path):
    (tmp_path / "old.onnx").write_text("old")
    missing = tmp_path / "missing.msgpack"
    status, _, errors = export(missing, "--format", "onnx", "--output", tmp_path / "old.onnx")
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"error: {missing} cannot be read")
    assert (tmp_path / "old.onnx").read_text() == "old"
