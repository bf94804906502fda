"""Coverage-guided fuzzing of `load_model`: whatever the bytes, it gives what they say or raises `ModelFileError`.

    pip install -r requirements.txt atheris
    PYTHONPATH=. python ai_library/tests/fuzz_model_file.py -max_total_time=600

It starts from a small model, changes header and arrays each by itself, and recomputes length and digest, so that a
change gets past the first checks. Arguments are libFuzzer's; it ends with a traceback and the input at the first find.
"""

import os
import struct
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["ai_library.networks.model_file", "ai_library.files.sealed_file", "ai_library.networks.architecture"]
):
    from ai_library import CNN, Classifier, save_model
from ai_library.tests.model_files import loads_as_it_says_or_is_refused, sealed

LEAD = struct.Struct("<8sII")


def mutate(data, max_size, seed):
    """libFuzzer's own mutation, of the header or of the arrays."""
    if len(data) < LEAD.size:
        return atheris.Mutate(data, len(data))
    magic, version, length = LEAD.unpack_from(data)
    header, arrays = data[LEAD.size : LEAD.size + length], data[LEAD.size + length :]
    if seed % 16 == 0:
        version = seed % 5
    elif seed % 2:
        header = atheris.Mutate(header, len(header) + 64)
    else:
        arrays = atheris.Mutate(arrays, len(arrays) + 64)
    return (LEAD.pack(magic, version, len(header)) + header + arrays)[:max_size]


def main():
    with tempfile.TemporaryDirectory() as folder:
        corpus, model = Path(folder, "corpus"), CNN(num_classes=2, features=(1,) * 5, dense=1)
        corpus.mkdir()
        for channels in (1, 3):
            shape = (16, 16, channels)
            save_model(corpus / f"{channels}", Classifier(model, model.initialise(0, shape), ("a", "b"), shape))
            (corpus / f"{channels}").write_bytes((corpus / f"{channels}").read_bytes()[:-32])
        path = Path(folder, "m.msgpack")
        atheris.Setup(
            [*sys.argv, str(corpus)],
            lambda data: loads_as_it_says_or_is_refused(path, sealed(data)) and None,
            custom_mutator=mutate,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
