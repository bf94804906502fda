"""What several tests share: a small, easy source, and classifiers of its images.

JAX is imported by what needs it, after `pytest_configure` has set where compiled programs are kept, and never by the
process that only hands out tests to others.
"""

import filelock
import numpy as np
import pytest

import ai_library
from ai_library.tests.compiled_programs import (  # noqa: F401 - hooks and a fixture
    of_all_processes,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_setup,
    pytest_xdist_auto_num_workers,
    quickly_compiled,
)

CLASSES = ("circle", "rectangle", "star")


@pytest.fixture
def without_curves(monkeypatch):
    """Runs write no TensorBoard files, as where its packages are missing: figures take a third of a short run's time.

    For modules that test something else of a run.
    """
    monkeypatch.setattr("ai_library.training.run_directory._FOR_CURVES", ("a package that nobody has",))


@pytest.fixture(scope="session")
def source():
    easy = ai_library.ShapeRanges(size=(0.35, 0.45), contrast=(0.7, 1.0), noise=(0.0, 0.02), outlined=0.0)
    return ai_library.ShapeDataSource(seed=3, image_size=32, class_names=CLASSES, sizes=(960, 96, 201), ranges=easy)


@pytest.fixture(scope="session")
def small_model():
    return ai_library.CNN(num_classes=len(CLASSES), features=(16, 16, 16, 32, 32), dense=32)


@pytest.fixture(scope="session")
def trained(source, small_model, tmp_path_factory):
    """A finished run: the trainer and the classifier that it returned."""
    run_dir = tmp_path_factory.mktemp("run") / "shapes"
    trainer = ai_library.Trainer(
        small_model, source, ai_library.TrainConfig(epochs=3, batch_size=32, learning_rate=1e-2), run_dir
    )
    return trainer, trainer.fit()


@pytest.fixture(scope="session")
def model_path(request, tmp_path_factory):
    """A file with the `classifier`, which no test changes; the first process of the tests that needs it makes it."""
    path = of_all_processes(request, tmp_path_factory) / "shapes.msgpack"
    with filelock.FileLock(path.with_suffix(".lock")):
        if not path.exists():
            ai_library.save_model(path, _soon_made(*map(request.getfixturevalue, ("small_model", "source"))))
    return path


def _soon_made(network, source):
    """A classifier that is right about two of three images: its last layer is fitted to random features.

    That takes no training, most of whose time would be compilation.
    """
    from ai_library.tests.own_networks import drawn

    images, labels = source.examples("train", range(200))
    variables = drawn(network, source.image_shape, seed=1)
    untrained = ai_library.Classifier(network, variables, source.class_names, source.image_shape)
    features = np.column_stack([untrained.features(images), np.ones(len(images))])
    ridge = features.T @ features + 0.1 * np.eye(features.shape[1])
    *kernel, bias = 8 * np.linalg.solve(ridge, features.T @ np.eye(source.num_classes)[labels])
    variables["params"]["Dense_1"] = {"kernel": np.float32(kernel), "bias": np.float32(bias)}
    metrics = {"validation": {"validation_accuracy": 0.67, "epoch": 1}}
    return ai_library.Classifier(network, variables, source.class_names, source.image_shape, metrics=metrics)


@pytest.fixture(scope="session")
def classifier(model_path):
    return ai_library.load_model(model_path)
