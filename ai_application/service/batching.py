"""Batches the images of concurrent requests."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ai_library import Classifier
from ai_library.networks.architecture import Architecture

from .limits import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Batcher:
    """Predicts images for one model in a thread of its own.

    Requests that arrive during a prediction form the next batch; no request waits for others to arrive. However many
    images there are, the network gets at most `Classifier.block` at once. So an image's probabilities do not depend on
    other requests.

    Args:
        classifier: The model.
        max_waiting: Most images that may wait.
        observe: Called with the number of images of each call of the network.
    """

    def __init__(self, classifier: Classifier, max_waiting: int, observe: Callable[[int], None]):
        self.classifier, self.ready = classifier, False
        self._max_waiting, self._observe = max_waiting, observe
        self._waiting: deque[tuple[np.ndarray, asyncio.Future]] = deque()
        self._images = 0
        self._thread = ThreadPoolExecutor(1)
        self._running: asyncio.Task | None = None

    async def warm_up(self) -> None:
        """Predicts an image, which compiles the network if necessary, and sets `ready`.

        Raises:
            InputError: The logits of an image depend on the other images of its batch: on other requests.
        """
        await self.predict(np.zeros((1, *self.classifier.image_shape), np.uint8))
        await asyncio.get_running_loop().run_in_executor(self._thread, _check, self.classifier)
        self.ready = True

    async def predict(self, images: np.ndarray) -> "NDArray[np.float64]":
        """The probabilities (n, classes) float64 of images (n, h, w, c) uint8.

        Raises:
            RefusedError: Too many images wait already, or these alone are too many.
            InputError: The network returns nan or infinity.
        """
        if len(images) > self._max_waiting:
            raise RefusedError(413, f"{len(images):,} images are too many at once: send {self._max_waiting:,} at most")
        if self._images + len(images) > self._max_waiting:
            raise RefusedError(429, f"{self._images:,} images wait already: try again", retry_after="1")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((images, answer))
        self._images += len(images)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self):
        """Predicts waiting requests until there are none."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            together = self._next()
            try:
                found = await loop.run_in_executor(self._thread, self._predicted, [images for images, _ in together])
            except Exception as error:
                # Each request is tried alone, so that only the one at fault gets the error.
                found = [await self._alone(images) for images, _ in together] if len(together) > 1 else [error]
            for (images, answer), numbers in zip(together, found, strict=True):
                self._images -= len(images)
                if answer.cancelled():  # the client has disconnected
                    continue
                if isinstance(numbers, Exception):
                    answer.set_exception(numbers)
                else:
                    answer.set_result(numbers)
        self._running = None

    def _next(self):
        """The requests of the next batch: the first that waits, and those after it that fit into the same block."""
        together = [self._waiting.popleft()]
        room = self.classifier.block - len(together[0][0])
        while self._waiting and (room := room - len(self._waiting[0][0])) >= 0:
            together.append(self._waiting.popleft())
        return together

    async def _alone(self, images):
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._predicted, [images])
        except Exception as error:
            return error
        return found[0]

    def _predicted(self, requests):
        """The probabilities of the images of several requests."""
        images, block = np.concatenate(requests), self.classifier.block
        parts = [images[start : start + block] for start in range(0, len(images), block)]
        for part in parts:
            self._observe(len(part))
        predict = partial(self.classifier.predict_logits, by_onnx="all")
        logits = [logits for part in parts for logits in predict([part])]
        probabilities = self.classifier.probabilities(np.concatenate(logits))
        return np.split(probabilities, np.cumsum([len(images) for images in requests])[:-1])


def _check(classifier):
    """Checks a network of the user's own. A `CNN` needs no check, and may be predicted without importing JAX."""
    if not isinstance(classifier.network, Architecture):
        from ai_library.networks.independence import check_independence

        check_independence(classifier)
