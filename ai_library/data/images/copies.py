"""Finds images that are copies of each other: the same pixels, or nearly the same."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SIDE = 16
"""Of the images, and of the thumbnails, that are compared, in pixels."""
_NEAR = 0.004  # 1 - cosine of two thumbnails; of 60,000 different digits of MNIST 54 pairs are nearer
_LOOSE = 0.04  # the same for images that are as unlike each other as noise
_PART = 0.05  # of the distance to the tenth nearest, up to which images are copies
_COLOUR = 8  # levels by which the mean colours of copies may differ
_CONTRAST = 1.15  # the ratio of contrasts up to which images may be copies
_FLAT = 2  # levels of standard deviation, below which an image shows too little to be compared
_SAMPLE, _BLOCK = 500, 512


def same_pixels(images: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yields (i, j) for each image j of (n, h, w, c) that has the pixels of an earlier one, the first of which is i."""
    first: dict[bytes, int] = {}
    for index, image in enumerate(images):
        digest = hashlib.sha256(np.ascontiguousarray(image).data).digest()
        if (earlier := first.setdefault(digest, index)) != index:
            yield earlier, index


def near_copies(images: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yields (i, j), i < j, of images (n, h, w, c) that were resized, compressed again, or turned by quarters.

    j is each image that is a copy of an earlier one, or of a copy of it, and so on; i is the first of these.

    Two images are copies where their thumbnails of 16x16 grey pixels, without their means, point the same way: 1 - the
    cosine is at most 0.004. Where all images are as unlike each other as noise is, or photographs of different things,
    it may be a twentieth of the distance to the tenth nearest, 0.04 at most. Mean colours and contrasts must agree too.

    It serves photographs and drawings that differ in more than fine detail. Images that are fitted into less than 16x16
    pixels, and those without contrast, are never taken for copies. Of copies that lost their detail, such as a digit of
    28x28 pixels at half its size, some are not found.
    """
    if min(images.shape[1:3]) < LEAST_SIDE or len(images) < 2:
        return
    colours, thumbnails = _described(images)
    contrasts = thumbnails.std(axis=(1, 2))
    used = np.flatnonzero(contrasts >= _FLAT)
    if len(used) < 2:
        return
    colours, contrasts = colours[used], contrasts[used]
    units = thumbnails[used]
    units -= units.mean(axis=(1, 2), keepdims=True)
    units /= np.linalg.norm(units, axis=(1, 2), keepdims=True)
    turns = range(4 if images.shape[1] == images.shape[2] else 1)
    first = np.arange(len(used))  # of those that an image is joined with: frames of one film have very many pairs
    for i, j in _pairs(units, turns):
        alike = (np.abs(colours[i] - colours[j]) <= _COLOUR).all(axis=1)
        alike &= np.maximum(contrasts[i], contrasts[j]) <= _CONTRAST * np.minimum(contrasts[i], contrasts[j])
        i, j = first[i[alike]], first[j[alike]]
        if (i != j).any():
            first = _joined_also(first, i, j)
    copies = np.flatnonzero(first != np.arange(len(used)))
    yield from zip(used[first[copies]].tolist(), used[copies].tolist(), strict=True)


def _joined_also(first, i, j):
    """(n,) the first that each is joined with, once those of `i` and of `j` are joined too."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(first)
    _, sets = connected_components(coo_array((np.ones(len(i), bool), (i, j)), (n, n)), directed=False)
    lowest = np.full(n, n)
    np.minimum.at(lowest, sets, np.arange(n))
    return lowest[sets][first]


def joined(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Returns for each of n things the first of those that it is joined with, over as many pairs as it takes."""
    root = list(range(n))

    def find(index):
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    return [find(index) for index in range(n)]


def _described(images):
    """Mean colours (n, c) and thumbnails (n, 16, 16) in grey levels."""
    thumbnails = np.empty((len(images), LEAST_SIDE, LEAST_SIDE), np.float32)
    for index, image in enumerate(images):
        grey = Image.fromarray(image[..., 0] if image.shape[2] < 3 else image[..., :3]).convert("L").convert("F")
        thumbnails[index] = np.asarray(grey.resize((LEAST_SIDE, LEAST_SIDE), Image.Resampling.BILINEAR))
    return images.mean(axis=(1, 2), dtype=np.float32), thumbnails


def _pairs(units, turns):
    """Yields arrays (i, j) of the pairs whose units (n, 16, 16), one of them turned, are near.

    Each pair within the bound differs by little in any projection, so that only a window of the images, sorted by one
    that no turn changes, is compared.
    """
    flat = units.reshape(len(units), -1)
    near = _bound(flat)
    even = np.mean([np.rot90(units, turn, axes=(1, 2)) for turn in range(4)], axis=0).reshape(flat.shape)
    sample = even[:: max(1, len(even) // _SAMPLE)]
    direction = np.linalg.eigh(sample.T @ sample)[1][:, -1]
    order = np.argsort(even @ direction, kind="stable")
    places, flat, units = (even @ direction)[order], flat[order], units[order]
    reach = np.sqrt(2 * near) + 1e-4  # the length of the difference of two units whose cosine is 1 - near
    for start in range(0, len(flat), _BLOCK):
        end = min(start + _BLOCK, len(flat))
        last = np.searchsorted(places, places[end - 1] + reach, side="right")
        for turn in turns:
            turned = np.rot90(units[start:end], turn, axes=(1, 2)).reshape(end - start, -1)
            i, j = np.nonzero(turned @ flat[start:last].T >= 1 - near)
            later = i < j
            i, j = order[start + i[later]], order[start + j[later]]
            yield np.minimum(i, j), np.maximum(i, j)


def _bound(flat):
    """Up to which 1 - cosine images are copies: by how far the tenth nearest is from those that are closest to it."""
    sample = flat[:: max(1, len(flat) // _SAMPLE)]
    if len(flat) < 20:
        return _NEAR
    cosines = sample @ flat.T
    tenth = 1 - np.partition(cosines, -11, axis=1)[:, -11]
    return float(np.clip(_PART * np.quantile(tenth, 0.01), _NEAR, _LOOSE))
