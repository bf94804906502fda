"""An ONNX file gives the probabilities of its classifier, in ONNX Runtime, whatever the network and the images."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ai_library import CNN, InputError, ResNet, export_onnx
from ai_library.networks.graph import OPSET
from ai_library.tests.export.classifiers import classifier_of, some_images
from ai_library.tests.own_networks import Mirrored, made

onnx = pytest.importorskip("onnx", reason="onnx is missing: pip install 'ai-library[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SMALL = {"features": (4, 8, 8, 8, 4), "dense": 8}
NETWORKS = {
    "CNN": CNN(num_classes=3, **SMALL),
    "CNN without patches": CNN(num_classes=9, **SMALL, patch=1),
    "ResNet": ResNet(num_classes=3, features=(4, 8), blocks=2),
    "ResNet of many stages": ResNet(num_classes=2, features=(4, 6, 4, 4, 8), patch=1),
}


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "image_shape"),
    [
        *(("CNN", shape) for shape in [(15, 22, 3), (1, 40, 4), (64, 64, 1)]),
        *(("CNN without patches", shape) for shape in [(15, 22, 3), (9, 9, 2)]),
        *(("ResNet", shape) for shape in [(15, 22, 3), (1, 40, 4)]),
        *(("ResNet of many stages", shape) for shape in [(1, 40, 4), (35, 18, 2)]),
    ],
)
def test_it_gives_the_probabilities_of_the_classifier(network, image_shape, tmp_path):
    classifier = classifier_of(NETWORKS[network], image_shape, temperature=0.7)
    export_onnx(tmp_path / "m.onnx", classifier)
    session, images = session_of(tmp_path / "m.onnx"), some_images(image_shape, 130)  # so few of a CNN are not compiled
    wanted = classifier.predict_proba(images)
    for count in (1, 7, 128, 130):
        (found,) = session.run(["probabilities"], {"images": images[:count]})
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[:count], atol=1e-5)


def test_what_a_user_needs_to_know_is_in_its_metadata(tmp_path):
    classifier = classifier_of(NETWORKS["CNN"], (16, 24, 3), temperature=0.5, content_size=12)
    export_onnx(tmp_path / "m.onnx", classifier)
    told = session_of(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert {name: json.loads(value) for name, value in told.items()} == {
        "class_names": ["class 0", "class 1", "class 2"],
        "image_shape": [16, 24, 3],
        "content_size": 12,
        "temperature": 0.5,
    }
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import] == [OPSET]


def test_the_same_classifier_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        export_onnx(tmp_path / name, classifier_of(NETWORKS["ResNet"], (16, 16, 1)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_network_that_may_compute_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="ONNX is written for CNN and ResNet, not for Mirrored: use export_stablehlo"):
        export_onnx(tmp_path / "m.onnx", classifier_of(made(Mirrored), (16, 16, 1)))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"class_names": ("a", "b")}, "must give logits .b, 2., one for each class"),
        ({"image_shape": (24, 24, 1)}, "the classifier cannot be exported: it "),
        ({"variables": {}}, "the classifier cannot be exported: it "),
        ({"temperature": -1.0}, "it has a temperature of -1.0"),
        ({"temperature": float("nan")}, "it has a temperature of nan"),
        ({"class_names": ("a", "a", "b")}, "it has class names that cannot be used"),
        ({"class_names": ("a", "b\n", "c")}, "it has class names that cannot be used"),
        ({"content_size": 17}, "it has a content size of 17"),
    ],
)
def test_a_classifier_that_could_not_be_saved_is_not_exported(change, told, tmp_path):
    with pytest.raises(InputError, match=told):
        export_onnx(tmp_path / "m.onnx", replace(classifier_of(NETWORKS["CNN"], (16, 16, 1)), **change))
    assert not [*tmp_path.iterdir()]


def test_weights_that_are_no_numbers_are_not_exported(tmp_path):
    classifier = classifier_of(NETWORKS["CNN"], (16, 16, 1))
    classifier.variables["params"]["Dense_1"]["bias"][0] = np.nan
    with pytest.raises(InputError, match="not finite|nan"):
        export_onnx(tmp_path / "m.onnx", classifier)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write .*nowhere"):
        export_onnx(tmp_path / "file/nowhere", classifier_of(NETWORKS["CNN"], (16, 16, 1)))
