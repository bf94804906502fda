"""MNIST and its relatives, prepared and read by tensorflow-datasets without TensorFlow."""

import gzip
from pathlib import Path

import filelock
import numpy as np
import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered
from tensorflow_datasets.core.decode import DeserializeMethod
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError
from tensorflow_datasets.proto import tf_example_pb2

from ai_library import InputError
from ai_library.files.text import escaped

_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def read_split(name: str, split: str, data_dir, files=None) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 28, 28, 1) uint8 and labels (n,) of a split, "train" or "test", of `tfds.image_classification.<name>`.

    Data that are not yet in the folder `data_dir` are prepared first: from the four files in the folder `files`, or
    from the internet if that is None. In both cases tfds checks their SHA-256. It prepares in a temporary folder and
    renames that at the end, so an interrupted preparation is never taken for a complete one.

    Raises:
        InputError: The files are missing, damaged or cannot be downloaded, or `data_dir` cannot be written.
    """
    try:
        builder = _prepared(name, data_dir, files)
        # Decoding record by record, as tfds would, takes twice as long as everything else here.
        records = builder.as_data_source(split=split, deserialize_method=DeserializeMethod.RAW_BYTES)
        encoded = records.__getitems__(range(len(records)))
        parsed = map(tf_example_pb2.Example.FromString, encoded)  # pyright: ignore[reportAttributeAccessIssue]
        rows = [example.features.feature for example in parsed]
        pixels = b"".join(row["image"].bytes_list.value[0] for row in rows)
        labels = [row["label"].int64_list.value[0] for row in rows]
        return np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28, 1), np.array(labels, np.int32)
    except (InputError, MemoryError):
        raise
    except PermissionError as error:
        raise InputError(f"{data_dir} with {name} cannot be read ({error}): make it readable") from error
    except Exception as error:  # the readers raise various errors for damaged files
        place = _builder(name, data_dir).data_path
        raise InputError(f"{place} holds damaged data of {name} ({error}): delete it and start again") from error


def _prepared(name, data_dir, files):
    """A builder whose data are in `data_dir`. If several processes need them, the first one prepares them."""
    builder = _builder(name, data_dir)
    if builder.data_path.exists():
        return builder
    if files is not None:
        missing = [file for pair in _FILES.values() for file in pair if not (Path(files) / file).is_file()]
        if missing:
            raise InputError(f"{files} lacks {missing[0]}: it needs the four files of {name} under their own names")
    try:
        Path(data_dir).mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(Path(data_dir) / f"{name}.lock"):
            builder = _builder(name, data_dir)
            if not builder.data_path.exists():
                _prepare(builder, name, files)
        return builder
    except (OSError, RuntimeError) as error:  # array_record's writer raises RuntimeError, also if the disk is full
        raise InputError(
            f"{name} cannot be prepared in {data_dir} ({error}): free some space there, or choose another folder by "
            "--data-dir"
        ) from error


def _builder(name, data_dir):
    """A builder with the URLs and checksums of tfds's own builder, which needs TensorFlow to prepare data."""
    own = getattr(tfds.image_classification, name)

    with registered.skip_registration():

        class Builder(own):
            url_infos = own.url_infos
            # Another name, since the stored format differs: raw pixels, which are read faster than PNG.
            name = f"{own.name}_pixels"

            def _info(self):
                pixels = tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)
                features = {"image": pixels, "label": tfds.features.ClassLabel(num_classes=10)}
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {
                    split: self._generate_examples(*dl_manager.download([self.URL + file for file in files]))
                    for split, files in _FILES.items()
                }

            def _generate_examples(self, images, labels):
                pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28, 1)
                classes = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
                for index, (image, label) in enumerate(zip(pixels, classes, strict=True)):
                    yield index, {"image": image, "label": int(label)}

    return Builder(data_dir=str(data_dir), file_format="array_record")


def _prepare(builder, name, files):
    tfds.disable_progress_bar()
    source = files or "the internet (without a network tfds gives up after some minutes)"
    print(escaped(f"preparing {name} in {builder.data_path}, once, from {source}"), flush=True)
    try:
        config = tfds.download.DownloadConfig(manual_dir=files)
        builder.download_and_prepare(download_config=config)
    except NonMatchingChecksumError as error:
        url, path = str(error).split(",")[0].split()[-1], files or builder.data_path
        raise InputError(
            f"{path}: {url.rsplit('/', 1)[-1]} is not the file that tfds knows, its SHA-256 differs: fetch it again"
        ) from error
    except (requests.RequestException, DownloadError) as error:
        raise InputError(
            f"{name} cannot be downloaded ({error}): get its files elsewhere and name their folder by --mnist-files"
        ) from error
