"""A classifier as a StableHLO program, which JAX runs without Flax and without the code of the network."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..files.atomic import write_bytes
from ..networks.classifier import Classifier
from ..networks.network import apply_function, normalise, splits_batches
from ..runtime.jax_settings import settings
from .description import described

PROGRAM, DESCRIPTION = "program.stablehlo", "classifier.json"
"""The files in the archive."""
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_TOLERANCE = 1e-5


def export_stablehlo(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier of any network as a zip archive of a StableHLO program and what describes it.

    "program.stablehlo" is what `jax.export` serializes: `jax.export.deserialize(content).call(images)` gives
    probabilities (n, classes) float32 of images (n, h, w, c) uint8, for any n from 1, on CPUs, GPUs and TPUs; within
    1e-5 they are those of `predict_proba`. "classifier.json" is what `described` gives, and "jax", the version that
    wrote the program: a JAX that is up to six months newer or three weeks older runs it (JAX's page "Exporting and
    serializing staged-out computations").

    Args:
        path: The file to write; an older one stays whole until this one is.
        classifier: Of any network that gives an image the same logits whatever the other images of a batch.

    Raises:
        InputError: The network does not, or can't be traced, or the file can't be written.
    """
    description = {**described(classifier), "jax": jax.__version__}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        # With no time in it, the same classifier gives the same bytes.
        archive.writestr(zipfile.ZipInfo(PROGRAM), _program(classifier))
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), json.dumps(description, indent=1))
    write_bytes(path, content.getvalue())


@settings()
def _program(classifier):
    """The serialized program."""
    model, variables = classifier.model, jax.tree.map(np.asarray, classifier.variables)

    def logits(images):
        return apply_function(model)(variables, normalise(images), train=False).astype(jnp.float32)

    # A network of one's own may ask for the number of images: it sees them one by one.
    of_all = logits if splits_batches(model) else jax.vmap(lambda image: logits(image[None])[0])

    def probabilities(images):
        return jax.nn.softmax(of_all(images) / classifier.temperature)

    images = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("n"), *classifier.image_shape), np.uint8)
    try:
        with _no_locations():
            exported = jax.export.export(jax.jit(probabilities), platforms=PLATFORMS)(images)
        _check(exported, classifier)
        return bytes(exported.serialize())
    except InputError:
        raise
    except Exception as error:  # whatever a network raises is about the network
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{type(model).__name__} cannot be exported for any number of images: {reason}") from error


def _check(exported, classifier):
    """Raises `InputError` unless the program gives the classifier's own probabilities."""
    images = np.random.default_rng(0).integers(0, 256, (3, *classifier.image_shape), np.uint8)
    if not np.allclose(exported.call(images), classifier.predict_proba(images), atol=_TOLERANCE):
        raise InputError(
            f"{type(classifier.model).__name__} cannot be exported: what it makes of an image must not depend on the "
            "other images of a batch"
        )


@contextlib.contextmanager
def _no_locations():
    """Leaves out of a program which lines of which files made it: these tell of the machine."""
    before = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)
