"""A classifier as a StableHLO program, which JAX runs without Flax and without the code of the network."""

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
from ..networks.network import apply_function, normalise, splits_batches
from ..runtime.jax_settings import settings
from .description import check_exportable, described

PROGRAM, DESCRIPTION = "program.stablehlo", "classifier.json"
"""The files in the archive."""
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_ROUNDING = 0.01
"""How far logits may be apart, as a fraction of the largest, that are the same but for rounding to 16 bits."""
_one_at_a_time = threading.Lock()


def export_stablehlo(path: str | Path, classifier: Classifier, platforms: Sequence[str] = PLATFORMS) -> None:
    """Writes a classifier as a zip archive of a StableHLO program and what describes it.

    "program.stablehlo" is what `jax.export` serializes: `jax.export.deserialize(content).call(images)` gives
    probabilities (n, classes) float32 of images (n, h, w, c) uint8, for any n from 1; those of `predict_proba`, within
    1e-5 on a CPU where the network computes in float32. JAX needs the package flatbuffers for that. "classifier.json"
    is what `described` gives, and "jax", the version that wrote the program: a JAX that is up to six months newer or
    three weeks older runs it (JAX's page "Exporting and serializing staged-out computations").

    Args:
        path: The file to write; an older one stays whole until this one is.
        classifier: Of a network that is JAX's operations alone and makes of an image the same whatever the other images
            of a batch are. One of your own is tried on some images for that.
        platforms: Where the program can run.

    Raises:
        InputError: The network is another one, or the file can't be written.
        MissingExtraError: flatbuffers is not installed.
    """
    try:
        import flatbuffers  # noqa: F401 - JAX serializes by it
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "export") from error
    check_exportable(classifier)
    if not splits_batches(classifier.model):
        _check_company(classifier)
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
        with _nothing_of_this_process():
            exported = jax.export.export(jax.jit(probabilities), platforms=platforms)(images)
        return bytes(exported.serialize())
    except Exception as error:  # whatever a network raises is about the network
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{type(model).__name__} cannot be exported for {', '.join(platforms)}: {reason}") from error


def _check_company(classifier):
    """Raises `InputError` where the logits of an image are others beside others like it than beside black ones, with
    which a block is filled up."""
    rng = np.random.default_rng(0)
    for low, high in ((0, 256), (100, 150), (0, 20), (235, 256)):
        images = rng.integers(low, high, (classifier.block, *classifier.image_shape), np.uint8)
        beside, alone = (next(iter(classifier.predict_logits([part]))) for part in (images, images[:1]))
        if not np.allclose(beside[:1], alone, rtol=0, atol=_ROUNDING * np.abs(alone).max()):
            raise InputError(
                f"{type(classifier.model).__name__} cannot be exported: what it makes of an image must not depend on "
                "the other images of a batch"
            )


@contextlib.contextmanager
def _nothing_of_this_process():
    """A program traced here does not tell which lines of which files made it, nor has it the user's settings."""
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
