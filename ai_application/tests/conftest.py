"""Where the tests find MNIST."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PLACES = (ROOT.parent / "shared/mnist", ROOT / "data/mnist-files")


@pytest.fixture(scope="session")
def mnist_files():
    """A folder with the four official files."""
    for place in _PLACES:
        if (place / "train-images-idx3-ubyte.gz").is_file():
            return place
    pytest.skip(f"MNIST's files are neither in {' nor in '.join(map(str, _PLACES))}")


@pytest.fixture(scope="session")
def mnist_data_dir(mnist_files, tmp_path_factory):
    """A folder in which tfds has prepared MNIST."""
    from ai_application.mnist import MnistDataSource

    folder = tmp_path_factory.mktemp("data")
    MnistDataSource(data_dir=folder, files=mnist_files).size("evaluation")
    return folder
