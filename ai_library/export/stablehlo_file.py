"""Exports a classifier as a StableHLO program, which JAX runs without Flax and without the network's code."""

import contextlib
import io
import json
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, MissingExtraError
from ..files.atomic import write_bytes
from ..networks.classifier import Classifier
from ..networks.independence import check_independence
from ..networks.initial import apply_function
from ..networks.network import normalise, splits_batches
from ..runtime.jax_settings import settings
from .description import check_exportable, described

PROGRAM, DESCRIPTION = "program.stablehlo", "classifier.json"
"""The files in the archive."""
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_one_at_a_time = threading.Lock()


def export_stablehlo(path: str | Path, classifier: Classifier, platforms: Sequence[str] = PLATFORMS) -> None:
    """Writes a classifier as a zip archive of a StableHLO program and its description.

    "program.stablehlo" is serialized by `jax.export`. `jax.export.deserialize(content).call(images)` takes images
    (n, h, w, c) uint8 for any n >= 1 and returns probabilities (n, classes) float32: those of `predict_proba` within
    1e-5 on a CPU if the network computes in float32. Reading it needs the package flatbuffers. "classifier.json" has
    the fields of `described`, and "jax", the version that wrote the program. A JAX up to six months newer or three
    weeks older runs it (JAX's page "Exporting and serializing staged-out computations").

    >>> export_stablehlo("shapes.zip", classifier)

    Args:
        path: The file to write. An existing file is replaced only when the new one is complete.
        classifier: Its network must consist of JAX operations, and the logits of an image must not depend on other
            images of the batch. For a network of your own the latter is checked on a few images.
        platforms: The platforms on which the program can run.

    Raises:
        InputError: The network or its variables cannot be exported, or the file cannot be written.
        MissingExtraError: flatbuffers is not installed.
    """
    try:
        import flatbuffers  # noqa: F401 - JAX needs it to serialize
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "export") from error
    check_exportable(classifier)
    check_independence(classifier)
    description = {**described(classifier), "jax": jax.__version__}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in (
            (PROGRAM, _program(classifier, platforms)),
            (DESCRIPTION, json.dumps(description, indent=1)),
        ):
            info = zipfile.ZipInfo(name)  # without a time, so that the same classifier gives the same bytes
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    write_bytes(path, content.getvalue())


@settings()
def _program(classifier, platforms):
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
        with _neutral_tracing():
            exported = jax.export.export(jax.jit(probabilities), platforms=platforms)(images)
        return bytes(exported.serialize())
    except Exception as error:  # whatever a network raises is about the network
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{type(model).__name__} cannot be exported for {', '.join(platforms)}: {reason}") from error


@contextlib.contextmanager
def _neutral_tracing():
    """Keeps source locations and the user's JAX settings out of programs traced in the block."""
    held = {"jax_traceback_in_locations_limit": 0, "jax_include_full_tracebacks_in_locations": True}
    with _one_at_a_time, jax.default_matmul_precision(None), jax.disable_jit(False):
        before = {name: getattr(jax.config, name) for name in held}
        try:
            for name, value in held.items():
                jax.config.update(name, value)
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
