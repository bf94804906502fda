"""Converts images in any usual form, files, Pillow images or arrays, to the array that a model takes."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from ...errors import MAX_CHANNELS, InputError
from .fitting import fit_image
from .reading import read_image, read_pillow

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SupportsArray(Protocol):
    """An array of numpy, JAX or another library that numpy can read."""

    def __array__(self) -> np.ndarray: ...


AnyImage = str | os.PathLike[str] | Image.Image | SupportsArray
AnyImages = AnyImage | Sequence[AnyImage]
"""Images in the forms that `as_images` takes."""


def as_images(images: AnyImages, image_shape: Sequence[int], content_size: int | None = None) -> "NDArray[np.uint8]":
    """Returns images in any of the usual forms as one array (n, *image_shape) uint8.

    Args:
        images: An array (n, h, w, c) uint8 of `image_shape`, or (n, h, w) for one channel, which is not copied. Or a
            list of images of any size: paths (see `read_image`), Pillow images, and arrays (h, w) or (h, w, c) uint8,
            each of which is fitted by `fit_image`. A single path or Pillow image is a list of one.
        image_shape: (h, w, c) of the result.
        content_size: See `fit_image`.

    Raises:
        InputError: An array has another shape or type, or an image of a list cannot be read.
    """
    image_shape = tuple(image_shape)
    if isinstance(images, (str, os.PathLike, Image.Image)):
        images = [images]
    if not isinstance(images, (list, tuple)):
        return _whole(images, image_shape)
    array = np.zeros((len(images), *image_shape), np.uint8)
    for index, image in enumerate(images):
        try:
            array[index] = _single(image, image_shape, content_size)
        except InputError as error:
            name = image if isinstance(image, (str, os.PathLike)) else f"image {index} of the list"
            raise InputError(f"{name} {error}") from error
    return array


def _whole(images, image_shape):
    """An array (n, h, w, c) of all images."""
    wanted = f"uint8 ({', '.join(map(str, ('n', *image_shape)))})"
    if not hasattr(images, "__array__"):
        raise InputError(
            f"images must be an array {wanted} or a list of paths, Pillow images or arrays, got {type(images).__name__}"
        )
    array = np.asarray(images)
    if array.dtype == np.uint8 and array.shape[1:] == image_shape:
        return array
    if array.dtype == np.uint8 and (*array.shape[1:], 1) == image_shape:
        return array[..., np.newaxis]
    mend = "to have images of other sizes fitted, give a list of them; one image alone is [image]"
    if array.dtype != np.uint8:
        mend = "scale them to whole numbers from 0 to 255 and use .astype(np.uint8)"
    raise InputError(f"images must be an array {wanted}, got {array.dtype} {array.shape}: {mend}")


def _single(image, image_shape, content_size):
    """One image out of a list: a path, a Pillow image or an array."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(image, image_shape, content_size)
    if isinstance(image, Image.Image):
        return read_pillow(image, image_shape, content_size)
    if not hasattr(image, "__array__"):
        raise InputError(f"must be a path, a Pillow image or an array, got {type(image).__name__}")
    pixels = np.asarray(image)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels > MAX_CHANNELS or not pixels.size:
        raise InputError(
            f"must be uint8 (h, w) or (h, w, c) with 1 to {MAX_CHANNELS} channels, got {pixels.dtype} {pixels.shape}"
        )
    return fit_image(pixels, image_shape, content_size)
