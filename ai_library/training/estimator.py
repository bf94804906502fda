"""`ImageClassifier`, an estimator for scikit-learn. Only this module imports scikit-learn."""

from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self

import flax.linen as nn
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import ArrayDataSource
from ..data.augmentation import Augmentation
from ..data.examples import ArrayExamples
from ..data.images.image_arrays import AnyImages
from ..errors import InputError, MissingExtraError
from ..networks.classifier import Classifier
from ..networks.cnn import CNN
from ..networks.network import network_of
from ..networks.registry import NETWORKS
from .callbacks import Callback
from .config import TrainConfig
from .run_directory import RunDirectory
from .trainer import Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags, assert_all_finite
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, check_random_state, column_or_1d
except ModuleNotFoundError as _error:
    raise MissingExtraError(_error, "sklearn") from _error


class ImageClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of images for scikit-learn's pipelines, searches, cross-validation and displays.

    `fit` keeps a part of the training images for validation, which chooses the epoch and the temperature, and trains
    with a `Trainer`. The same data, arguments and `random_state` give the same classifier.

    >>> from sklearn.model_selection import cross_val_score
    >>> images, labels = source.examples("train", range(64))
    >>> names = np.array(source.class_names)[labels]
    >>> model = ImageClassifier(network=Linear, epochs=1, batch_size=32, verbose=False)
    >>> model.fit(images, names).classes_
    array(['circle', 'star'], dtype='<U6')
    >>> cross_val_score(model, images, names, cv=2).shape
    (2,)

    It has the arguments of `TrainConfig` except `freeze`. Three differ: `epochs` has another default; `random_state`
    and `class_weight`, in place of `seed` and `class_weights`, are named and used as scikit-learn expects.

    Args:
        network: A class of linen modules that takes `num_classes`, or a name in `NETWORKS`.
        network_arguments: Other arguments of the network, such as {"dense": 64}. None: no others.
        validation: Fraction of each class's images that is kept for validation, in (0, 1); see `ArrayDataSource`.
        epochs, batch_size, learning_rate, warmup, optimizer: See `TrainConfig`.
        optimizer_arguments: See `TrainConfig`. None: no arguments.
        patience, clip_norm, label_smoothing, ema_decay, augmentation, final_augmentation, precision: See `TrainConfig`.
        class_weight: Weight of each label's loss, as {label: weight}; a missing label has 1. "balanced": 1 / (the
            class's fraction of the training images * the number of classes). None: all are 1.
        random_state: Seed of the initial weights, the order of the images, augmentation and dropout, from 0 to
            2**32 - 1. A `numpy.random.RandomState`, or None for numpy's global one, gives another seed for each fit.
        callbacks: Functions that get the history after each epoch, such as `EarlyStopping`.
        runs_dir: A folder in which each fit writes its run directory (see `RunDirectory`), in a new sub-folder named by
            the time. None: nothing is written.
        verbose: Whether to show progress and print a line per epoch.

    Attributes:
        classes_: The labels (num_classes,) seen in `fit`, sorted.
        classifier_: The trained `Classifier`, which `save_model` takes. Its `class_names` are the labels as strings.
        history_: One row per epoch, as in `history.csv`.
    """

    def __init__(
        self,
        network: type[nn.Module] | str = CNN,
        *,
        network_arguments: dict[str, Any] | None = None,
        validation: float = 0.1,
        epochs: int = 10,
        patience: int | None = TrainConfig.patience,
        batch_size: int = TrainConfig.batch_size,
        learning_rate: float = TrainConfig.learning_rate,
        warmup: float = TrainConfig.warmup,
        optimizer: str = TrainConfig.optimizer,
        optimizer_arguments: dict[str, Any] | None = None,
        clip_norm: float | None = TrainConfig.clip_norm,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        label_smoothing: float = TrainConfig.label_smoothing,
        ema_decay: float = TrainConfig.ema_decay,
        augmentation: Augmentation = TrainConfig.augmentation,
        final_augmentation: float = TrainConfig.final_augmentation,
        precision: Literal["float32", "bfloat16"] = TrainConfig.precision,
        random_state: int | np.random.RandomState | None = TrainConfig.seed,
        callbacks: Sequence[Callback] = (),
        runs_dir: str | Path | None = None,
        verbose: bool = False,
    ):
        self.network = network
        self.network_arguments = network_arguments
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.optimizer = optimizer
        self.optimizer_arguments = optimizer_arguments
        self.clip_norm = clip_norm
        self.class_weight: dict[Any, float] | Literal["balanced"] | None = class_weight
        self.label_smoothing = label_smoothing
        self.ema_decay = ema_decay
        self.augmentation = augmentation
        self.final_augmentation = final_augmentation
        self.precision: Literal["float32", "bfloat16"] = precision
        self.random_state = random_state
        self.callbacks = callbacks
        self.runs_dir = runs_dir
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Trains from fresh weights and returns itself.

        Args:
            X: Images (n, h, w, c) uint8, or (n, h, w) for one channel.
            y: Labels (n,): strings, integers or booleans, with at least two different values.

        Returns:
            The estimator itself.

        Raises:
            InputError: An argument, X or y has a wrong type, shape or value; `validation` of so few images is none; or
                the loss became infinite or nan. It is a `ValueError`.
        """
        if not isinstance(self.validation, Real):
            raise InputError(f"validation must be a number between 0 and 1, got {self.validation!r}")
        classes, labels = _classes_and_labels(y)
        examples = ArrayExamples(_not_rows(X), labels)
        config = self._config(classes)
        source = ArrayDataSource(
            train=(examples.images, examples.labels),
            validation=self.validation,
            class_names=tuple(map(str, classes.tolist())),
            seed=config.seed,
        )
        trainer = Trainer(
            self._network(len(classes)),
            source,
            config,
            run_dir=False if self.runs_dir is None else RunDirectory.new_path(self.runs_dir),
            callbacks=self.callbacks,
            verbose=self.verbose,
        )
        classifier = trainer.fit()
        self.classes_: np.ndarray = classes
        self.classifier_: Classifier = classifier
        self.history_: list[dict[str, Any]] = trainer.history
        return self

    def predict_proba(self, X: AnyImages) -> NDArray[np.float64]:
        """The probabilities (n, num_classes) float64 of images, their columns in the order of `classes_`.

        Args:
            X: Images as in `fit`, of the same shape, or a list of paths, Pillow images and arrays: see
                `Classifier.predict_proba`.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
            InputError: The images have another shape or type.
        """
        check_is_fitted(self)
        return self.classifier_.predict_proba(X)

    def predict(self, X: AnyImages) -> np.ndarray:
        """The most probable labels (n,) of images, in the type of the labels of `fit`.

        Args:
            X: Images, as `predict_proba` takes them.
        """
        probabilities = self.predict_proba(X)  # which asks first whether this has been fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # rows of features
        tags.input_tags.three_d_array = True  # scikit-learn has no tag for four dimensions
        return tags

    def _config(self, classes):
        others = {"seed", "class_weights", "optimizer_arguments", "freeze"}  # fresh layers must be trained
        shared = [field.name for field in fields(TrainConfig) if field.name not in others]
        return TrainConfig(
            **{name: getattr(self, name) for name in shared},
            seed=_seed(self.random_state),
            class_weights=_class_weights(self.class_weight, classes.tolist()),
            optimizer_arguments={} if self.optimizer_arguments is None else self.optimizer_arguments,
        )

    def _network(self, num_classes):
        kind = NETWORKS.get(self.network) if isinstance(self.network, str) else self.network
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise InputError(
                f"network must be a class of linen modules or one of {', '.join(NETWORKS)}, got {self.network!r}"
            )
        return network_of(kind, {"num_classes": num_classes, **(self.network_arguments or {})})


def _classes_and_labels(y):
    """The sorted classes (num_classes,) of labels (n,) of any type, and the labels as integers (n,) from 0."""
    try:
        y = column_or_1d(y, warn=True)
        assert_all_finite(y)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"the labels cannot be used: {error}") from error
    if len(classes) < 2:
        raise InputError(f"the labels must be of 2 classes or more, got 1 class: {classes.tolist()[0]!r}")
    return classes, labels


def _not_rows(images):
    """Returns the images unchanged. Raises `InputError` for rows of features, whose image shape is unknown."""
    if isinstance(images, (list, tuple)):
        return images
    array = np.asanyarray(images)
    if array.ndim == 2:
        raise InputError(
            f"images must be uint8 (n, h, w, c) or (n, h, w), got {array.dtype} {array.shape}: reshape rows of "
            "pixels, as in X.reshape(-1, 28, 28)"
        )
    return array


def _seed(random_state: int | np.random.RandomState | None):
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def _class_weights(class_weight: dict[Any, float] | Literal["balanced"] | None, classes: list[Any]):
    if not isinstance(class_weight, dict):
        return class_weight
    if unknown := [label for label in class_weight if label not in classes]:
        raise InputError(f"class_weight must have labels among {classes}, got {unknown}")
    return tuple(class_weight.get(label, 1.0) for label in classes)
