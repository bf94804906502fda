"""A trained network with all that is needed to use it."""

import collections
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..runtime.cpu import cores
from ..runtime.distributed import gathered
from .architecture import Architecture
from .numpy_cnn import logits_by_numpy
from .probabilities import softmax

if TYPE_CHECKING:
    from .cnn import CNN


class _LateCNN:
    """A field that may be given as an `Architecture`, and becomes its `CNN` when that is first asked for: a few images
    are predicted in less time than Flax takes to be imported."""

    def __get__(self, classifier, owner=None):
        if classifier is None:
            raise AttributeError("model")  # which tells `dataclass` that the field has no default
        if isinstance(vars(classifier)["model"], Architecture):
            from .cnn import CNN

            vars(classifier)["model"] = CNN(**vars(classifier.architecture))
        return vars(classifier)["model"]

    def __set__(self, classifier, model):
        vars(classifier)["model"] = model


@dataclass(frozen=True, eq=False)
class Classifier:
    """What training yields and a model file holds."""

    BLOCK = 128
    """Images of one call of the network; the last block is filled up, so that one compiled program serves all."""
    FEW = 2 * BLOCK
    """Of a `CNN`, streams of fewer images go through numpy, which is done with them before JAX has been imported and
    has compiled: on two cores it does about 1,700 images of 64x64x1 a second; JAX six times as many, but a second
    later."""

    model: "CNN" = _LateCNN()
    variables: dict[str, Any]
    """"params" and "batch_stats" of the model."""
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """(h, w, c) of the images that it takes."""
    content_size: int | None = None
    """How image files are brought to that shape: see `fit_image`."""
    temperature: float = 1.0
    """What logits are divided by before they become probabilities, so that a confidence is what it says: see
    `fit_temperature`."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """How well it did when it was trained, for whoever opens the model file."""

    @property
    def architecture(self) -> Architecture | None:
        """What describes the model, if it is a `CNN` itself; unlike the model it needs no Flax. None for any other
        network, a subclass of `CNN` included: it may compute something else with the same arguments and weights."""
        model = vars(self)["model"]
        if isinstance(model, Architecture):
            return model
        from .cnn import CNN

        return Architecture(**model.architecture()) if type(model) is CNN else None

    def predict_logits(self, batches: Iterable[np.ndarray], shared: bool = False) -> Iterator[np.ndarray]:
        """Yields logits (b, num_classes) float32 for a stream of images (b, h, w, c) uint8, block by block.

        The stream is cut anew into blocks of one size, so that the numbers do not depend on how it was batched.
        Holds `FEW` images at the beginning, afterwards one block for each core and one more. `shared` says that all
        processes (see `distributed`) predict one stream, each a part: the numbers are then those of a process that
        predicts all of it.
        """
        blocks = _blocks(map(self._checked, batches), self.BLOCK)
        first = collections.deque(islice(blocks, self.FEW // self.BLOCK))
        found = sum(map(len, first))
        few = sum(gathered(found) if shared else [found]) < self.FEW  # the stream has ended
        if few and (architecture := self.architecture):
            for images in first:
                yield logits_by_numpy(architecture, self.variables, images)
        elif first:
            predict = self._predict_by_jax()
            yield predict(first.popleft())  # compiles
            yield from _in_threads(predict, chain(_emptied(first), blocks))

    def _predict_by_jax(self):
        import jax

        from .cnn import predict_logits

        model, variables = self.model, jax.device_put(self.variables)

        def predict(images):
            filled = np.zeros((self.BLOCK, *self.image_shape), np.uint8)
            filled[: len(images)] = images
            return np.asarray(predict_logits(model, variables, filled))[: len(images)]

        return predict

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (n, num_classes) float64 for images (n, h, w, c) uint8; (0, num_classes) for none."""
        logits = list(self.predict_logits([images]))
        return self.probabilities(np.concatenate(logits) if logits else np.zeros((0, len(self.class_names))))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (n, num_classes) float64 of logits (n, num_classes), by the temperature."""
        return softmax(np.asarray(logits, np.float64) / self.temperature)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most probable labels (n,) int64 for images (n, h, w, c) uint8."""
        return self.predict_proba(images).argmax(axis=1)

    def _checked(self, images):
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise InputError(
                f"images of shape {images.shape} and type {images.dtype} do not fit: this model takes "
                f"{('n', *self.image_shape)} of uint8"
            )
        return images


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


def _in_threads(function, items):
    """`map(function, items)` with a thread for each core, which takes few items more than it has yielded."""
    waiting = collections.deque()
    with ThreadPoolExecutor(cores()) as threads:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) > cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _emptied(queue):
    """Its items, of which it keeps none."""
    while queue:
        yield queue.popleft()
