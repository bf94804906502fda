"""The examples of one split, as the hook of a data source returns them, and their check."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

if TYPE_CHECKING:
    import jax

Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
"""Images (b, h, w, c) and labels (b,)."""


class Examples(Protocol):
    """The protocol of the examples of one split, with random access. A data source's `load` may return one.

    >>> class Ramps:
    ...     def __len__(self):
    ...         return 1000
    ...
    ...     def __getitem__(self, indices):
    ...         labels = indices % 2
    ...         ramp = np.arange(16, dtype=np.uint8) * 15
    ...         images = np.where(labels[:, None, None], ramp, ramp[:, None]).astype(np.uint8)
    ...         return images[..., None], labels
    >>> images, labels = Ramps()[np.array([0, 7])]
    >>> images.shape, labels.tolist()
    ((2, 16, 16, 1), [0, 1])
    """

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns images (b, h, w, c) uint8 and integer labels (b,) for indices (b,) int64."""
        ...


class DeviceExamples(NamedTuple):
    """How a compiled program makes examples on its device, without the host.

    `Examples` that support it have a method `on_device()`, which returns this.
    """

    fetch: "Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]"
    """A pure, traceable function of `data` and indices (b,) uint32 that returns images (b, h, w, c) uint8 and labels
    (b,) int32. Examples of one kind share one function, and so their compiled programs."""
    data: Any
    """Arrays on the device."""


class ArrayExamples:
    """`Examples` in memory.

    >>> examples = ArrayExamples(np.zeros((10, 8, 8), np.uint8), np.arange(10) % 2)
    >>> images, labels = examples[np.array([0, 3])]
    >>> images.shape, labels.tolist()
    ((2, 8, 8, 1), [0, 1])

    Args:
        images: (n, h, w, c) uint8, or (n, h, w) for images of one channel. They are not copied.
        labels: (n,) integers.

    Raises:
        InputError: The arrays have another shape or type.
    """

    def __init__(self, images: ArrayLike, labels: ArrayLike):
        images, labels = _array("images", images), _array("labels", labels)
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise InputError(_images_message("uint8 (n, h, w, c) or (n, h, w)", images))
        _check_labels(labels, len(images))
        self.images: NDArray[np.uint8] = images if images.ndim == 4 else images[..., np.newaxis]
        self.labels: NDArray[np.int32] = labels.astype(np.int32)
        if (self.labels != labels).any():
            raise InputError(f"labels must be the numbers of classes, got {labels.min()} to {labels.max()}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: np.ndarray) -> Batch:
        return self.images[indices], self.labels[indices]

    def on_device(self) -> DeviceExamples | None:
        """Copies the arrays to JAX's device if they take at most a quarter of its memory; else returns None."""
        import jax

        if type(self).__getitem__ is not ArrayExamples.__getitem__:
            return None  # a subclass may return something else than the arrays

        memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
        if memory is not None and self.images.nbytes > memory // 4:
            return None
        return DeviceExamples(_take, jax.device_put((self.images, self.labels)))

    @cached_property
    def digest(self) -> str:
        """A SHA-256 digest of the images and labels; it takes 0.05 seconds for 60,000 images of 28x28."""
        digest = hashlib.sha256(str(self.images.shape).encode())
        digest.update(self.labels.astype("<i4").data)
        for start in range(0, len(self), 1024):  # a non-contiguous array is copied part by part
            digest.update(np.ascontiguousarray(self.images[start : start + 1024]).data)
        return digest.hexdigest()[:16]


def _take(data, indices):
    images, labels = data
    return images[indices], labels[indices]


def check_examples(place: str, found: Any, n: int, image_shape: Sequence[int], num_classes: int) -> Batch:
    """Checks the result of `Examples` and returns images (n, *image_shape) uint8 and labels (n,) int32.

    Args:
        place: Name of the examples in messages.
        found: The result of `Examples` for `n` indices.
        n: Number of indices.
        image_shape: (h, w, c) of the source.
        num_classes: Number of classes of the source.

    Raises:
        InputError: The arrays have another shape or type, or a label is not a class.
    """
    try:
        images, labels = found
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}[indices] must be (images, labels), got {type(found).__name__}") from error
    try:
        images, labels = _array("images", images), _array("labels", labels)
        if images.dtype != np.uint8 or images.shape != (n, *image_shape):
            raise InputError(_images_message(f"uint8 {(n, *image_shape)}, as the source's image_shape says", images))
        _check_labels(labels, n)
        if n and not 0 <= labels.min() <= labels.max() < num_classes:
            raise InputError(
                f"labels must be from 0 to {num_classes - 1} for {num_classes} classes, got {labels.min()} to "
                f"{labels.max()}"
            )
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    return images, labels.astype(np.int32, copy=False)


def _check_labels(labels, n):
    if labels.shape == (n,) and np.issubdtype(labels.dtype, np.integer):
        return
    mend = ""
    if labels.ndim == 2:
        mend = ": use labels[:, 0]" if labels.shape[1] == 1 else ": use labels.argmax(axis=1) if they are one-hot"
    raise InputError(f"labels must be integers of shape ({n},), one an image, got {labels.dtype} {labels.shape}{mend}")


def _images_message(wanted, images):
    mend = "" if images.dtype == np.uint8 else ": scale them to whole numbers from 0 to 255 and use .astype(np.uint8)"
    return f"images must be {wanted}, got {images.dtype} {images.shape}{mend}"


def _array(name, values):
    try:
        return np.asanyarray(values)
    except ValueError as error:  # rows of several lengths
        raise InputError(f"{name} must be one array, got {type(values).__name__}: {error}") from error
