"""Npz files of any kind, and what may come of reading them."""

import contextlib
import io
import zipfile
from types import SimpleNamespace

import numpy as np

from ai_library import InputError
from ai_library.data.folders.samples import read_samples
from ai_library.files.text import is_printable

READER = SimpleNamespace(class_names=("a", "b", "c"), image_shape=(8, 8, 1), content_size=None, block=128)


def header(shape, kind="|u1", by_columns=False, version=1):
    """The beginning of an .npy file, and nothing after it."""
    text = f"{{'descr': {kind!r}, 'fortran_order': {by_columns}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


def saved(array):
    """An .npy file."""
    with contextlib.closing(io.BytesIO()) as file:
        np.save(file, array, allow_pickle=True)
        return file.getvalue()


def write_archive(path, members, compression=zipfile.ZIP_STORED):
    """A zip file of members by their names; the content of each is bytes, or several."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                for part in [content] if isinstance(content, bytes) else content:
                    file.write(part)
    return path


def is_read_or_refused(path):
    """How many samples are read, each such as it must be; None where they are refused, in a line that does no harm."""
    count = 0
    try:
        samples = read_samples(path, READER)
        assert is_printable("".join(samples.notes).replace(str(path), ""))
        for count, sample in enumerate(samples, 1):
            assert sample.name == str(count - 1)
            assert sample.image.shape == READER.image_shape
            assert sample.image.dtype == np.uint8
            assert sample.label is None or sample.label in range(3)
    except InputError as error:
        message = str(error).removeprefix(str(path))
        assert is_printable(message)
        assert len(message) < 600
        assert "allow_pickle" not in message
        return None
    return count
