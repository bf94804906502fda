"""A trained network with all that is needed to use it."""

import collections
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..data.images.image_arrays import AnyImages, as_images
from ..errors import InputError, check_image_shape, check_labels
from ..files.text import listed
from ..runtime.devices import computes_on_cpu
from ..runtime.distributed import all_gather
from ..runtime.threads import map_in_threads
from .architecture import Architecture
from .numpy_cnn import logits_by_numpy
from .onnx_engine import OnnxEngine, onnx_runtime_is_there
from .probabilities import softmax

if TYPE_CHECKING:
    import flax.linen as nn
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

_BLOCK_VALUES = 2**26
_BLOCKS_OF_A_GPU = 16
_MOST = 0.98
"""The least coverage of `Classifier.abstain_below`: 0.99, less the rounding that few images make."""


@dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """A trained network with all that is needed to use it: what training yields and a model file holds.

    scikit-learn's displays and inspections take it as a fitted classifier: it has `predict`, `predict_proba`, `score`
    and `classes_`, the labels 0, 1, ...

    >>> images, labels = source.examples("evaluation", range(4))
    >>> classifier.predict_proba(images).shape, classifier.predict(images).shape
    ((4, 2), (4,))
    >>> classifier.class_names
    ('circle', 'star')

    Args:
        network: A linen module; or the `Architecture` of a `CNN`, with which a few images are predicted without
            importing Flax.
        variables: The variables of the network: "params" and the collections of its state, such as "batch_stats".
        class_names: Names of the labels 0, 1, ...
        image_shape: (h, w, c) of the images that it takes.
        content_size: How image files are brought to that shape: see `fit_image`.
        temperature: The logits are divided by it before the softmax: see `fit_temperature`.
        metrics: Figures of the training and the evaluation, as a model file keeps them.
        origin: The name of the classifier in error messages, such as the path of its file.

    Raises:
        InputError: `image_shape` is not (h, w, c) with sides from 1 to 4,096 and 1 to 4 channels.
    """

    BLOCK: ClassVar[int] = 128
    """Most images in one call of the network on a CPU: see `block`."""
    FEW: ClassVar[int] = 2 * BLOCK
    """Of a `CNN`, streams of fewer than two blocks go through numpy, which is done with them before JAX has been
    imported and has compiled: on two cores it does about 3,000 images of 64x64x1 a second; JAX three times as many, but
    two seconds later."""

    network: "nn.Module | Architecture"
    variables: dict[str, Any]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    content_size: int | None = None
    temperature: float = 1.0
    metrics: dict[str, Any] = field(default_factory=dict)
    origin: str = "the network"

    def __post_init__(self) -> None:
        vars(self)["class_names"] = tuple(self.class_names)  # past the frozen attributes
        vars(self)["image_shape"] = check_image_shape(self.image_shape)

    @cached_property
    def model(self) -> "nn.Module":
        """The network as a linen module."""
        if not isinstance(self.network, Architecture):
            return self.network
        from .cnn import CNN

        return CNN(**vars(self.network))

    @cached_property
    def architecture(self) -> Architecture | None:
        """The `Architecture` of the network if its class is `CNN`, else None. It does not import Flax.

        It is None for a subclass of `CNN` too, which may compute something else with the same arguments and weights.
        """
        if isinstance(self.network, Architecture):
            return self.network
        from .cnn import CNN
        from .network import arguments

        return Architecture(**arguments(self.network)) if type(self.network) is CNN else None

    @property
    def block(self) -> int:
        """Number of images in one call of the network; the last block is padded to it, so one program is compiled.

        It is `BLOCK`, or for images of more than 2**19 values the largest power of two with at most 2**26 values in
        all.
        """
        return min(self.BLOCK, _power_of_two(self.image_shape))

    def predict_logits(
        self,
        batches: Iterable[AnyImages],
        shared: bool = False,
        by_onnx: Literal["none", "many", "all"] = "none",
    ) -> "Iterator[NDArray[np.float32]]":
        """Yields logits (b, num_classes) float32 for a stream of batches of images (b, h, w, c) uint8.

        The stream is divided anew into blocks of one size, so that the logits do not depend on its batches. Memory: two
        blocks at first, then one block per core plus one.

        Args:
            batches: Batches of images, each as `predict_proba` takes them.
            shared: Whether several processes (see `distributed`) each predict a part of one stream. The logits are then
                those of one process that predicts the whole stream.
            by_onnx: Which images ONNX Runtime predicts if the network is a `CNN`, JAX computes on a CPU, and the extra
                `fast` is installed. "none". "many": those that JAX would predict; ONNX Runtime starts in 0.15 seconds
                instead of 2, but then predicts a fifth fewer images per second. "all": an image then has the same
                logits in every call. The logits differ from those of JAX by rounding only.

        Raises:
            InputError: A logit is not finite. Finite weights can be so large that the logits overflow.
        """
        return map(self._checked, self._logits(batches, shared, by_onnx))

    def _logits(self, batches, shared, by_onnx):
        blocks = _blocks(map(self._as_images, batches), self.block)
        first = collections.deque(islice(blocks, 2))
        found = sum(map(len, first))
        few = sum(all_gather(found) if shared else [found]) < 2 * self.block  # the stream has ended
        onnx = None if by_onnx == "none" or (few and by_onnx == "many") else self._by_onnx
        if few and self.architecture and not onnx:
            for images in first:
                yield logits_by_numpy(self.architecture, self.variables, images)
        elif first:
            predict, block = (onnx, self.block) if onnx else self._by_jax()
            blocks = _blocks(chain(_emptied(first), blocks), block)
            if not onnx:
                yield predict(next(blocks))  # compiles
            yield from map(predict, blocks) if few else map_in_threads(predict, blocks)

    def features(self, images: AnyImages) -> "NDArray[np.float32]":
        """Embeddings (n, width) float32 of images: the input of the network's last `nn.Dense`, which gives the logits.

        Args:
            images: As `predict_proba` takes them.

        Raises:
            InputError: The logits are not the output of an `nn.Dense`, or a number is not finite.
        """
        from .features import predict_features

        predict, block = self._by_jax(predict_features)
        blocks = _blocks([self._as_images(images)], block)
        found = [self._checked(predict(block)) for block in blocks]
        return np.concatenate(found) if found else predict(np.zeros((0, *self.image_shape), np.uint8))

    def _checked(self, numbers):
        """Returns the network's output, which must be finite."""
        if not np.isfinite(numbers).all():
            raise InputError(
                f"{self.origin} gives nan or infinity for these images, but outputs must be finite: train it with a "
                "lower learning rate"
            )
        return numbers

    @cached_property
    def _by_onnx(self):
        """ONNX Runtime; None if it is not installed, the network is no `CNN`, or JAX uses an accelerator."""
        if self.architecture is None or not onnx_runtime_is_there() or not computes_on_cpu():
            return None
        return OnnxEngine(self.architecture, self.variables, self.image_shape)

    def _by_jax(self, function=None):
        """Returns a function that computes the logits, or `function`, of a block of images, and the block's size."""
        import jax

        from ..runtime.jax_settings import settings
        from .network import PART, predict_logits, splits_batches

        block = self.block if jax.default_backend() == "cpu" else self._accelerator_block()
        model, variables = self.model, jax.device_put(self.variables)
        function = function or partial(predict_logits, part_by_part=splits_batches(model) and block % PART == 0)

        @settings()  # in each thread
        def predict(images):
            given = len(images)
            if given < block:
                images = np.concatenate([images, np.zeros((block - given, *self.image_shape), np.uint8)])
            return np.asarray(function(model, variables, images))[:given]

        return predict, block

    def _accelerator_block(self):
        """Number of images in one call on a GPU, which needs more work at once to be busy."""
        return max(self.block, min(_BLOCKS_OF_A_GPU * self.block, _power_of_two(self.image_shape)))

    def predict_proba(self, images: AnyImages) -> "NDArray[np.float64]":
        """The probabilities (n, num_classes) float64 of images; (0, num_classes) for none.

        Args:
            images: An array (n, h, w, c) uint8, or a list of paths, Pillow images and arrays of any size, each of which
                is brought to the image shape: see `as_images`.

        Raises:
            InputError: An array has another shape or type, or an image of the list cannot be read.
        """
        logits = list(self.predict_logits([images]))
        return self.probabilities(np.concatenate(logits) if logits else np.zeros((0, len(self.class_names))))

    def probabilities(self, logits: "ArrayLike") -> "NDArray[np.float64]":
        """Probabilities (n, num_classes) float64 of logits (n, num_classes), at the classifier's temperature."""
        return softmax(logits, self.temperature)

    def predict(self, images: AnyImages) -> "NDArray[np.intp]":
        """The most probable labels (n,) int64 of images, as `predict_proba` takes them."""
        return self.predict_proba(images).argmax(axis=1)

    def score(self, images: AnyImages, labels: "ArrayLike") -> float:
        """The accuracy on images, as `predict` takes them, and their labels (n,) int.

        Raises:
            InputError: There is no image, the labels are not one integer for each image, or one is not a class.
        """
        predicted, labels = self.predict(images), np.asarray(labels)
        check_labels(labels, len(predicted), len(self.class_names))
        return float(np.mean(predicted == labels))

    @property
    def classes_(self) -> "NDArray[np.intp]":
        """The labels 0, 1, ... that `predict` can return, (num_classes,) int64; a name that scikit-learn asks for."""
        return np.arange(len(self.class_names))

    def metric(self, *names: str | int) -> int | float | None:
        """A number in `metrics`, such as `metric("evaluation", "accuracy")`.

        It is None where the entry is missing, is not a number, or is a number that a float cannot hold exactly.
        """
        found: Any = self.metrics
        for name in names:
            try:
                found = found[name]
            except (LookupError, TypeError):
                return None
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
        return found if is_number and abs(found) <= 2**53 else None

    @property
    def abstain_below(self) -> float | None:
        """The confidence in [0, 1] below which a prediction should be left to a person.

        99 % of the images of the evaluation reached it, by the table "coverage" of `metrics`. It is None where there
        is no such table, or the evaluation had too few images.
        """
        for row in count():
            coverage = self.metric("evaluation", "coverage", row, "coverage")
            if coverage is None:
                return None
            if _MOST <= coverage < 1:
                confidence = self.metric("evaluation", "coverage", row, "confidence")
                return confidence if confidence is not None and 0 <= confidence <= 1 else None

    def __sklearn_tags__(self) -> "Tags":
        """Tells scikit-learn that this is a classifier of images."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _as_images(self, images):
        return as_images(images, self.image_shape, self.content_size)

    def __repr__(self) -> str:
        kind = "CNN" if isinstance(self.network, Architecture) else type(self.network).__name__
        height, width, channels = self.image_shape
        return (
            f"Classifier: {kind} for {height}x{width}x{channels} images of {len(self.class_names)} classes "
            f"({listed(self.class_names, 10)})"
        )


def _power_of_two(image_shape):
    """The largest power of two of images with at most `_BLOCK_VALUES` values in all; at least 1."""
    return 1 << (max(1, _BLOCK_VALUES // math.prod(image_shape)).bit_length() - 1)


def _blocks(arrays, block):
    """Regroups a stream of arrays along their first axis into arrays of `block` rows; the last may have fewer."""
    waiting, rows = [], 0
    for array in arrays:
        while rows + len(array) >= block:
            head, array = array[: block - rows], array[block - rows :]
            yield np.concatenate([*waiting, head])
            waiting, rows = [], 0
        if len(array):
            waiting, rows = [*waiting, array], rows + len(array)
    if rows:
        yield np.concatenate(waiting)


def _emptied(queue):
    """Yields the items of a queue and removes them, so that it keeps none in memory."""
    while queue:
        yield queue.popleft()
