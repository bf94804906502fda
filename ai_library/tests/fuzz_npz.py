"""Coverage-guided fuzzing of `read_samples`: whatever an npz file holds, its images are read or it is refused.

    pip install -r requirements.txt atheris
    PYTHONPATH=. python ai_library/tests/fuzz_npz.py -max_total_time=600 -rss_limit_mb=600

It starts from small archives. A change goes into the bytes of the file, or into a member, of which the archive is then
made anew, so that it gets past the first checks. Arguments are libFuzzer's; it ends with a traceback and the input at
the first find.
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["ai_library.data.folders.samples", "ai_library.data.folders.npz"]):
    from ai_library.data.folders import samples  # noqa: F401 - imported here to be instrumented
from ai_library.tests.data.folders.npz_files import is_read_or_refused, saved, write_archive


def mutate(data, max_size, seed):
    """libFuzzer's own mutation, of the file or of one of its members."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # whatever zipfile raises on a file that is none
        members = {}
    if seed % 4 == 0 or not members:
        return atheris.Mutate(data, max_size)
    name = list(members)[seed // 4 % len(members)]
    members[name] = atheris.Mutate(members[name], len(members[name]) + 64)
    way = zipfile.ZIP_DEFLATED if seed % 8 == 1 else zipfile.ZIP_STORED
    write_archive(stream := io.BytesIO(), members, way)
    return stream.getvalue()[:max_size]


def main():
    with tempfile.TemporaryDirectory() as folder:
        corpus, path = Path(folder, "corpus"), Path(folder, "data.npz")
        corpus.mkdir()
        for number, shape in enumerate([(2, 3, 4), (2, 4, 4, 3), (300, 2, 2)]):
            images, labels = np.zeros(shape, np.uint8, "CF"[number % 2]), np.arange(shape[0]) % 3
            members = {"images.npy": saved(images)} | ({"labels.npy": saved(labels)} if number else {})
            write_archive(corpus / f"{number}", members)

        def read(data):
            path.write_bytes(data)
            is_read_or_refused(path)

        atheris.Setup([*sys.argv, str(corpus)], read, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
