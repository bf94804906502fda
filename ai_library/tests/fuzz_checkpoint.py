"""Coverage-guided fuzzing of `Checkpoints.newest`: whatever the bytes, it gives what they say or raises `InputError`.

    pip install -r requirements.txt atheris
    PYTHONPATH=. python ai_library/tests/fuzz_checkpoint.py -max_total_time=600

As `fuzz_model_file.py`, with a checkpoint of a small run.
"""

import json
import os
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import atheris
import flax.serialization
import jax
import numpy as np

with atheris.instrument_imports(include=["ai_library.training.checkpoints", "ai_library.files.sealed_file"]):
    from ai_library.training.checkpoints import Checkpoints
from ai_library import InputError
from ai_library.tests.fuzz_model_file import mutate
from ai_library.tests.model_files import sealed


def restores_as_it_says_or_is_refused(folder, data):
    """One checkpoint of these bytes gives the record and the arrays that json and flax read, or the one error."""
    for path in folder.iterdir():  # a damaged one gets another name
        path.unlink()
    (folder / "0000000001.msgpack").write_bytes(data)
    try:
        _, record, tree = Checkpoints(folder, check=lambda: None).newest()
    except InputError:
        return
    length = struct.unpack_from("<8sII", data)[2]
    wanted = flax.serialization.msgpack_restore(data[16 + length : -32])
    if record != json.loads(data[16 : 16 + length]) or jax.tree.structure(wanted) != jax.tree.structure(tree):
        raise AssertionError("the checkpoint was read as something else than it says")
    if not jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), wanted, tree)):
        raise AssertionError("arrays of the checkpoint were read as others")


def main():
    warnings.simplefilter("ignore")  # of each damaged one
    with tempfile.TemporaryDirectory() as place:
        corpus, folder = Path(place, "corpus"), Path(place, "checkpoints")
        tree = {"params": {"Dense_0": {"kernel": np.ones((2, 3), np.float32)}}, "step": np.int32(7), "empty": {}}
        record = {"step": 7, "history": [{"epoch": 1, "loss": 0.5}], "stopped": False}
        Checkpoints(folder, check=lambda: None).save(7, record, tree)
        corpus.mkdir()
        (corpus / "0").write_bytes((folder / "0000000007.msgpack").read_bytes()[:-32])
        atheris.Setup(
            [*sys.argv, str(corpus)],
            lambda data: restores_as_it_says_or_is_refused(folder, sealed(data)),
            custom_mutator=mutate,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
