"""`ImageClassifier`: what scikit-learn's tools do with it, and scikit-learn's own checks of an estimator."""

import inspect
import pickle
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from ai_library import (
    CNN,
    Augmentation,
    EarlyStopping,
    ImageClassifier,
    InputError,
    TrainConfig,
    load_model,
    save_model,
)
from ai_library.tests.own_networks import Dimming, Linear

pytestmark = pytest.mark.usefixtures("quickly_compiled")

NAMES = np.array(["low", "middle", "top"])
TINY = {"features": (4,) * 5, "dense": 8}


def bands(n=90, seed=0):
    """Images (n, 16, 16) uint8 of noise with a light band, and where it is: labels (n,) of text."""
    random = np.random.default_rng(seed)
    images, labels = random.integers(0, 120, (n, 16, 16)), np.arange(n) % 3
    for image, label in zip(images, labels, strict=True):
        image[10 - 5 * label : 15 - 5 * label] += 100
    return images.astype(np.uint8), NAMES[labels]


def estimator(**changes):
    settings = {"network": CNN, "network_arguments": TINY, "epochs": 6, "batch_size": 16, "learning_rate": 0.02}
    return ImageClassifier(**{**settings, **changes})


def linear(**changes):
    return estimator(network=Linear, network_arguments=None, **changes)


@pytest.fixture(scope="module")
def fitted():
    return estimator().fit(*bands())


@pytest.mark.slow
def test_it_learns_and_predicts_labels_as_they_were_given(fitted):
    images, labels = bands(60, seed=1)
    predictions, probabilities = fitted.predict(images), fitted.predict_proba(images)
    assert fitted.score(images, labels) == accuracy_score(labels, predictions) > 0.9
    assert fitted.classes_.tolist() == ["low", "middle", "top"]
    assert predictions.dtype == labels.dtype
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], predictions)
    assert [row["epoch"] for row in fitted.history_] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.array([7, -2, 30]), np.array([False, True]), np.array([1.0, 2.0])])
def test_labels_may_be_numbers_or_truth_values(kind):
    images, names = bands(60)
    labels = kind[np.searchsorted(NAMES, names) % len(kind)]
    model = linear(epochs=1).fit(images, labels)
    assert model.classes_.tolist() == sorted(kind.tolist())
    assert model.classifier_.class_names == tuple(map(str, sorted(kind.tolist())))
    assert model.predict(images).dtype == labels.dtype


@pytest.mark.slow
def test_what_it_trained_can_be_stored(fitted, tmp_path):
    save_model(tmp_path / "bands.msgpack", fitted.classifier_)
    images, _ = bands(10)
    read = load_model(tmp_path / "bands.msgpack")
    np.testing.assert_array_equal(read.predict_proba(images), fitted.predict_proba(images))
    assert read.class_names == ("low", "middle", "top")


@pytest.mark.slow
def test_a_fitted_estimator_can_be_pickled(fitted):
    images, _ = bands(300)  # as many as JAX predicts, and not numpy
    own = linear(epochs=1).fit(*bands())
    for model in (fitted, own):
        for some in (images[:5], images):
            wanted = model.predict_proba(some)
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(some), wanted)


@pytest.mark.slow
def test_a_clone_is_not_fitted_and_gives_the_same_once_it_is(fitted):
    images, labels = bands()
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(images)
    np.testing.assert_array_equal(copy.fit(images, labels).predict_proba(images), fitted.predict_proba(images))


@pytest.mark.slow
def test_fitting_again_begins_anew():
    images, labels = bands()
    model = linear(epochs=2)
    first = model.fit(images, labels).predict_proba(images)
    model.fit(images[:60], np.where(labels == "low", "b", "a")[:60])
    assert model.classes_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(model.fit(images, labels).predict_proba(images), first)


@pytest.mark.slow
def test_the_random_state_is_a_seed_or_gives_one_for_each_fit():
    images, labels = bands()
    model = linear(epochs=1, random_state=np.random.RandomState(3))
    first, second = (model.fit(images, labels).predict_proba(images) for _ in range(2))
    again = linear(epochs=1, random_state=np.random.RandomState(3)).fit(images, labels).predict_proba(images)
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)
    assert (linear(epochs=1, random_state=np.int64(5)).fit(images, labels).predict_proba(images) != first).any()


def test_its_parameters_are_those_of_a_training_configuration():
    parameters = inspect.signature(ImageClassifier).parameters
    renamed = {"seed": "random_state", "class_weights": "class_weight"}
    for field in fields(TrainConfig):
        if field.name == "freeze":  # a fit begins with fresh weights
            continue
        default = parameters[renamed.get(field.name, field.name)].default
        assert default == field.default or field.name in ("epochs", "optimizer_arguments"), field.name


@pytest.mark.slow
def test_parameters_reach_the_training(tmp_path):
    changes = {"optimizer": "sgd", "optimizer_arguments": {"momentum": 0.5}, "augmentation": Augmentation(flip=0.1)}
    model = linear(class_weight={"top": 3}, random_state=4, runs_dir=tmp_path, epochs=1)
    model.set_params(**changes, callbacks=[EarlyStopping()]).fit(*bands())
    config = next(tmp_path.glob("*/config.json")).read_text()
    for text in ('"optimizer": "sgd"', '"momentum": 0.5', '"flip": 0.1', '"seed": 4', '"source": "ArrayDataSource"'):
        assert text in config
    assert "".join(config.split()).count('"class_weights":[1.0,1.0,3.0]') == 1


@pytest.mark.slow
def test_a_network_may_be_named_and_a_callback_may_end_the_training():
    model = estimator(network="CNN", epochs=40, callbacks=[lambda history: len(history) == 2]).fit(*bands())
    assert type(model.classifier_.model) is CNN
    assert len(model.history_) == 2


@pytest.mark.slow
def test_each_fit_keeps_its_run_only_where_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = linear(epochs=1).fit(*bands())
    assert not [*tmp_path.iterdir()]
    model.set_params(runs_dir=tmp_path / "runs").fit(*bands()).fit(*bands())
    assert len([*(tmp_path / "runs").glob("*/history.csv")]) == 2


@pytest.mark.slow
def test_it_is_cross_validated():
    scores = cross_val_score(linear(), *bands(), cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.8


@pytest.mark.slow
def test_a_search_finds_the_learning_rate_and_the_argument_of_the_network_that_learn(tmp_path, without_curves):
    rates = np.array([1e-7, 0.02], np.float32)  # a run's config.json holds them
    grid = {"learning_rate": rates, "network_arguments": [{"light": 0.0}, {"light": 1.0}]}
    own = estimator(network=Dimming, runs_dir=tmp_path)
    search = GridSearchCV(own, grid, cv=2, error_score="raise").fit(*bands())
    assert search.best_params_ == {"learning_rate": rates[1], "network_arguments": {"light": 1.0}}
    assert search.best_score_ > 0.8
    assert search.best_estimator_.score(*bands(30, seed=2)) > 0.8


def as_pixels(fractions):
    return np.rint(255 * fractions).astype(np.uint8)


@pytest.mark.slow
def test_it_ends_a_pipeline_that_scales_images():
    images, labels = bands()
    model = make_pipeline(FunctionTransformer(as_pixels), linear()).fit(images / 255, labels)
    alone = linear().fit(images, labels)
    np.testing.assert_array_equal(model.predict_proba(images / 255), alone.predict_proba(images))
    assert model.score(images / 255, labels) > 0.9
    assert model.classes_.tolist() == alone.classes_.tolist()


@pytest.mark.slow
def test_its_confusion_matrix_is_drawn(fitted):
    import matplotlib.pyplot as plt

    images, labels = bands(30, seed=1)
    with plt.rc_context(), plt.ioff():
        display = ConfusionMatrixDisplay.from_estimator(fitted, images, labels)
        assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["low", "middle", "top"]
        plt.close(display.figure_)
    assert is_classifier(fitted)
    assert np.trace(display.confusion_matrix) > 27


IMAGES, LABELS = bands(30)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, LABELS, r"images must be uint8 .*, got float64 \(30, 16, 16\): scale them"),
        (IMAGES.reshape(30, -1), LABELS, r"reshape rows of pixels, as in X.reshape\(-1, 28, 28\)"),
        (IMAGES, LABELS[1:], r"of shape \(30,\), one an image, got int64 \(29,\)"),
        (IMAGES, ["one"] * 30, "of 2 classes or more, got 1 class: 'one'"),
        (IMAGES, None, "the labels cannot be used: y should be a 1d array"),
        (IMAGES, np.eye(30), "the labels cannot be used: y should be a 1d array"),
        (IMAGES, np.linspace(0, 1, 30), "the labels cannot be used: .*continuous"),
        (IMAGES, [np.nan, 1.0] * 15, "the labels cannot be used: Input contains NaN"),
        (IMAGES, ["a\n", "b"] * 15, r"a class name must be printable text, got 'a\\n'"),
        (IMAGES[:4], LABELS[:4], "validation=0.1 takes no example of 4: give a larger part"),
    ],
)
def test_data_that_cannot_be_learnt_from_are_named(images, labels, message):
    with pytest.raises(InputError, match=message):
        linear().fit(images, labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "cnn"}, "network must be a class of linen modules or one of CNN, ResNet, got 'cnn'"),
        ({"network": CNN(3)}, "network must be a class of linen modules"),
        ({"network_arguments": {"width": 3}}, "CNN does not take the arguments num_classes, width"),
        ({"network_arguments": {"num_classes": 4}}, r"CNN must give logits \(b, 3\)"),
        ({"validation": 1.5}, "a number between 0 and 1, got 1.5"),
        ({"validation": (IMAGES, LABELS)}, "validation must be a number between 0 and 1"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"class_weight": {"lo": 1}}, r"class_weight must have labels among \['low', 'middle', 'top'\], got \['lo'\]"),
        ({"random_state": "dice"}, "cannot be used to seed"),
    ],
)
def test_arguments_are_checked_by_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        estimator(**changes).fit(IMAGES, LABELS)


@pytest.mark.slow
def test_a_class_of_one_image_is_trained_on():
    model = linear(epochs=1).fit(IMAGES, np.where(np.arange(30) == 4, "alone", LABELS))
    assert model.classes_.tolist() == ["alone", "low", "middle", "top"]


@pytest.mark.slow
def test_a_failed_fit_leaves_it_as_it_was(fitted):
    copy = pickle.loads(pickle.dumps(fitted))
    with pytest.raises(InputError):
        copy.fit(IMAGES, LABELS[1:])
    np.testing.assert_array_equal(copy.predict(IMAGES), fitted.predict(IMAGES))


@pytest.mark.slow
def test_training_without_it_does_not_import_scikit_learn():
    code = "import sys; from ai_library import CNN, Trainer, evaluate; print('sklearn' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class OfRows(ImageClassifier):
    """It says that it takes rows of features, so that scikit-learn runs its checks, which all have such rows."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class Drawn(OfRows):
    """It draws each row of features (n, width) as an image of one row of pixels, and takes that."""

    def fit(self, X, y):  # noqa: N803
        return super().fit(self._drawn(*validate_data(self, X, y)[:1]), y)

    def predict_proba(self, X):  # noqa: N803
        check_is_fitted(self)
        return super().predict_proba(self._drawn(validate_data(self, X, reset=False)))

    def _drawn(self, rows):
        return np.clip(np.rint(32 * rows + 128), 0, 255).astype(np.uint8)[:, np.newaxis]


@pytest.mark.slow
@parametrize_with_checks([Drawn(network=Linear, validation=0.2, epochs=5, batch_size=8, learning_rate=0.1)])
def test_the_checks_of_scikit_learn_pass_where_features_are_drawn_as_images(estimator, check):
    check(estimator)


_ROWS = "fits rows of float features, which are refused: their image shape cannot be known"
_MESSAGE = "wants a message about rows or a kind of matrix; the one about images comes first"
_ATTRIBUTE = "wants n_features_in_, which counts the columns of rows"
NOT_FOR_IMAGES = {
    "check_fit_score_takes_y": _ROWS,
    "check_estimators_overwrite_params": _ROWS,
    "check_dont_overwrite_parameters": _ROWS,
    "check_estimators_fit_returns_self": _ROWS,
    "check_readonly_memmap_input": _ROWS,
    "check_positive_only_tag_during_fit": _ROWS,
    "check_estimators_dtypes": _ROWS,
    "check_dtype_object": _ROWS,
    "check_pipeline_consistency": _ROWS,
    "check_estimators_pickle": _ROWS,
    "check_f_contiguous_array_estimator": _ROWS,
    "check_classifier_data_not_an_array": _ROWS,
    "check_classifiers_classes": _ROWS,
    "check_classifiers_train": _ROWS,
    "check_supervised_y_2d": _ROWS,
    "check_class_weight_classifiers": _ROWS,
    "check_methods_sample_order_invariance": _ROWS,
    "check_methods_subset_invariance": _ROWS,
    "check_dict_unchanged": _ROWS,
    "check_fit_idempotent": _ROWS,
    "check_fit_check_is_fitted": _ROWS,
    "check_fit2d_predict1d": _ROWS,
    "check_n_features_in": _ATTRIBUTE,
    "check_n_features_in_after_fitting": _ATTRIBUTE,
    "check_estimators_empty_data_messages": _MESSAGE,
    "check_estimators_nan_inf": _MESSAGE,
    "check_estimator_sparse_tag": _MESSAGE,
    "check_estimator_sparse_array": _MESSAGE,
    "check_estimator_sparse_matrix": _MESSAGE,
    "check_fit2d_1feature": _MESSAGE,
}
"""The checks of scikit-learn that fail on the estimator itself, and why. All of them pass on `Drawn`."""


def test_the_checks_of_scikit_learn_pass_but_for_those_that_are_not_for_images():
    results = check_estimator(OfRows(network=Linear), expected_failed_checks=NOT_FOR_IMAGES, on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] in ("failed", "xfail")}
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert sorted(failed) == sorted(NOT_FOR_IMAGES)
    assert not passed & NOT_FOR_IMAGES.keys()
    assert {"check_estimator_cloneable", "check_get_params_invariance", "check_estimators_unfitted"} <= passed
    assert len(passed) >= 20
