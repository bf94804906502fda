"""Where the tests find MNIST."""

from pathlib import Path

import pytest

import ai_library
from ai_library.tests.compiled_programs import of_all_processes

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
def mnist_data_dir(mnist_files, request, tmp_path_factory):
    """A folder in which tfds has prepared MNIST, which no test changes; one of the tests' processes prepares it."""
    from ai_application.mnist import MnistDataSource

    folder = of_all_processes(request, tmp_path_factory) / "data"
    MnistDataSource(data_dir=folder, files=mnist_files).size("evaluation")
    return folder


@pytest.fixture
def small_networks(monkeypatch):
    """Networks whose size code does not say are small, so that it takes seconds."""
    init = ai_library.CNN.__init__.__wrapped__
    monkeypatch.setattr(init, "__defaults__", ((4, 4, 4, 4, 4), 4, 8, *init.__defaults__[3:]))
