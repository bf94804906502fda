"""A StableHLO file gives the probabilities of its classifier without the classes that it was made of."""

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import flax.linen as nn
import jax
import numpy as np
import pytest

from ai_library import CNN, Classifier, InputError, ResNet, export_stablehlo
from ai_library.networks.initial import initialise
from ai_library.tests.export.classifiers import classifier_of, some_images
from ai_library.tests.own_networks import OWN, Linear, made

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]

RUN = """
import sys, zipfile, jax, numpy as np
program = jax.export.deserialize(bytearray(zipfile.ZipFile(sys.argv[1]).read("program.stablehlo")))
for count in (1, 7, 128):
    np.save(f"{sys.argv[3]}/{count}.npy", program.call(np.load(sys.argv[2])[:count]))
assert not {"flax", "ai_library"} & sys.modules.keys()
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A classifier and its file, which no test changes."""
    classifier, path = classifier_of(made(CNN), (16, 16, 1)), tmp_path_factory.mktemp("exported") / "m.zip"
    export_stablehlo(path, classifier)
    return classifier, path


@pytest.mark.parametrize("kind", [CNN, ResNet, *OWN])
def test_it_gives_the_probabilities_of_the_classifier(kind, tmp_path):
    image_shape = (15, 22, 3)
    classifier = classifier_of(made(kind), image_shape, temperature=0.7)
    export_stablehlo(tmp_path / "m.zip", classifier)
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.stablehlo")))
        told = json.loads(archive.read("classifier.json"))
    assert told["class_names"] == ["class 0", "class 1", "class 2"]
    assert told["image_shape"] == [*image_shape]
    assert told["jax"] == jax.__version__
    assert set(program.platforms) == {"cpu", "cuda", "rocm", "tpu"}
    images = some_images(image_shape, 130)  # so few of a CNN are not compiled
    wanted = classifier.predict_proba(images)
    for count in (1, 130):
        np.testing.assert_allclose(program.call(images[:count]), wanted[:count], atol=1e-5)


def test_it_runs_where_neither_flax_nor_the_library_is_imported(exported, tmp_path):
    classifier, path = exported
    images = some_images((16, 16, 1), 128)
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", RUN, path, tmp_path / "images.npy", tmp_path], cwd=tmp_path, check=True)
    wanted = classifier.predict_proba(images)
    for count in (1, 7, 128):
        np.testing.assert_allclose(np.load(tmp_path / f"{count}.npy"), wanted[:count], atol=1e-5)


@pytest.mark.parametrize(
    "setting",
    [
        lambda: jax.enable_x64(True),
        lambda: jax.default_matmul_precision("highest"),
        lambda: jax.disable_jit(),
        lambda: jax.default_prng_impl("rbg"),
    ],
)
def test_the_users_settings_of_jax_do_not_change_the_file(setting, exported, tmp_path):
    classifier, path = exported
    with setting():
        export_stablehlo(tmp_path / "m.zip", classifier)
    assert (tmp_path / "m.zip").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("full", [True, False])
def test_a_program_names_no_file_of_the_machine_and_jax_is_left_as_it_was(full, tmp_path):
    classifier = classifier_of(made(Linear), (8, 8, 1))
    before = jax.config.jax_include_full_tracebacks_in_locations
    jax.config.update("jax_include_full_tracebacks_in_locations", full)
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda name: export_stablehlo(tmp_path / name, classifier), "abc"))
        assert jax.config.jax_include_full_tracebacks_in_locations == full
        assert jax.config.jax_traceback_in_locations_limit > 0
    finally:
        jax.config.update("jax_include_full_tracebacks_in_locations", before)
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert b".py" not in archive.read("program.stablehlo")
        assert all(entry.compress_type == zipfile.ZIP_DEFLATED for entry in archive.infolist())


class Relative(nn.Module):
    """Looks at how an image differs from the others of its batch."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)((images - images.mean(axis=0)).reshape(len(images), -1))


class Scaled(nn.Module):
    """Divides by the largest value of its batch."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)((images / abs(images).max()).reshape(len(images), -1))


class Half(nn.Module):
    """Computes in 16 bits."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        x = images.reshape(len(images), -1)
        for _ in range(4):
            x = nn.LayerNorm(dtype="bfloat16")(nn.gelu(nn.Dense(32, dtype="bfloat16")(x)))
        return nn.Dense(self.num_classes, dtype="bfloat16")(x)


class Outside(nn.Module):
    """Leaves JAX."""

    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        return nn.Dense(self.num_classes)(np.asarray(images).reshape(len(images), -1))


def test_a_network_that_computes_in_16_bits_is_exported(tmp_path):
    classifier = classifier_of(Half(3), (8, 8, 1))
    export_stablehlo(tmp_path / "m.zip", classifier)
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.stablehlo")))
    images = some_images((8, 8, 1), 50)
    np.testing.assert_allclose(program.call(images), classifier.predict_proba(images), atol=0.02)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Relative, "must not depend on the other images of the batch, but those of Relative with train=False do"),
        (Scaled, "must not depend on the other images of the batch, but those of Scaled with train=False do"),
        (Outside, "Outside must take images .* but raises TracerArrayConversionError"),
    ],
)
def test_what_a_program_cannot_say_is_refused(kind, told, tmp_path):
    shape = (8, 8, 1)
    variables = jax.tree.map(np.asarray, initialise(made(Linear, 2), 0, shape))
    with pytest.raises(InputError, match=told):
        export_stablehlo(tmp_path / "m.zip", Classifier(kind(2), variables, ("a", "b"), shape))
    assert not [*tmp_path.iterdir()]
