"""Finds images that are copies of each other: the same pixels, or nearly the same."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SIDE = 16
"""Least side of the images, and side of the thumbnails, that are compared, in pixels."""
_NEAR = 0.004  # 1 - cosine of two thumbnails; 54 pairs of MNIST's 60,000 digits are below
_LOOSE = 0.04  # the same for images as dissimilar as noise
_PART = 0.05  # of the distance to the tenth nearest image
_COLOUR = 8  # most levels between the mean colours of copies
_CONTRAST = 1.15  # largest ratio between the contrasts of copies
_FLAT = 2  # levels of standard deviation; flatter images are not compared
_SAMPLE, _BLOCK = 500, 512


def same_pixels(images: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yields (i, j) for each image j of (n, h, w, c) with the pixels of an earlier one; i is the first of these."""
    first: dict[bytes, int] = {}
    for index, image in enumerate(images):
        digest = hashlib.sha256(np.ascontiguousarray(image).data).digest()
        if (earlier := first.setdefault(digest, index)) != index:
            yield earlier, index


def near_copies(images: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yields (i, j), i < j, for near copies in images (n, h, w, c): resized, recompressed, or rotated by quarter turns.

    j is every image that is a copy of an earlier one, or a copy of such a copy, and so on; i is the first of them.

    Two images are copies if their thumbnails of 16x16 grey pixels, minus their means, have a cosine distance of at most
    0.004. In data as dissimilar as noise, or as photographs of different things, the bound is a twentieth of the
    distance to the tenth nearest image, at most 0.04. Mean colours and contrasts must agree too.

    It works for photographs and drawings that differ in more than fine detail. Images of less than 16x16 pixels, and
    those without contrast, are never found. Copies that lost their detail, such as digits of 28x28 pixels at half the
    size, are only partly found.
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
    first = np.arange(len(used))  # of each image's component: frames of one film have very many pairs
    for i, j in _pairs(units, turns):
        alike = (np.abs(colours[i] - colours[j]) <= _COLOUR).all(axis=1)
        alike &= np.maximum(contrasts[i], contrasts[j]) <= _CONTRAST * np.minimum(contrasts[i], contrasts[j])
        i, j = first[i[alike]], first[j[alike]]
        if (i != j).any():
            first = _joined_also(first, i, j)
    copies = np.flatnonzero(first != np.arange(len(used)))
    yield from zip(used[first[copies]].tolist(), used[copies].tolist(), strict=True)


def _joined_also(first, i, j):
    """(n,) the first of each component, after the pairs (`i`, `j`) are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(first)
    _, sets = connected_components(coo_array((np.ones(len(i), bool), (i, j)), (n, n)), directed=False)
    lowest = np.full(n, n)
    np.minimum.at(lowest, sets, np.arange(n))
    return lowest[sets][first]


def joined(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Returns, for each of n items, the first item of its connected component in the graph of the pairs."""
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
    """Yields arrays (i, j) of the pairs of unit thumbnails (n, 16, 16) that are near, one of them rotated.

    Near pairs are near in any projection. So the images are sorted by a projection that rotation does not change, and
    only those within a window are compared.
    """
    flat = units.reshape(len(units), -1)
    near = _bound(flat)
    even = np.mean([np.rot90(units, turn, axes=(1, 2)) for turn in range(4)], axis=0).reshape(flat.shape)
    sample = even[:: max(1, len(even) // _SAMPLE)]
    direction = _widest(sample)
    order = np.argsort(even @ direction, kind="stable")
    places, flat, units = (even @ direction)[order], flat[order], units[order]
    reach = np.sqrt(2 * near) + 1e-4  # the distance of two unit vectors whose cosine is 1 - near
    for start in range(0, len(flat), _BLOCK):
        end = min(start + _BLOCK, len(flat))
        last = np.searchsorted(places, places[end - 1] + reach, side="right")
        for turn in turns:
            turned = np.rot90(units[start:end], turn, axes=(1, 2)).reshape(end - start, -1)
            i, j = np.nonzero(turned @ flat[start:last].T >= 1 - near)
            later = i < j
            i, j = order[start + i[later]], order[start + j[later]]
            yield np.minimum(i, j), np.maximum(i, j)


def _widest(sample):
    """Nearly the direction in which vectors (n, d) spread most, by power iteration.

    Any direction serves; in this one the fewest pairs are near.
    """
    direction = np.random.default_rng(0).standard_normal(sample.shape[1], np.float32)
    for _ in range(20):
        direction = (sample @ direction) @ sample
        direction /= max(np.linalg.norm(direction), np.finfo(np.float32).tiny)
    return direction


def _bound(flat):
    """The bound of 1 - cosine for copies, from the distances to the tenth nearest images."""
    sample = flat[:: max(1, len(flat) // _SAMPLE)]
    if len(flat) < 20:
        return _NEAR
    cosines = sample @ flat.T
    tenth = 1 - np.partition(cosines, -11, axis=1)[:, -11]
    return float(np.clip(_PART * np.quantile(tenth, 0.01), _NEAR, _LOOSE))
