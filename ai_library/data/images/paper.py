"""Separates writing or drawing from the paper in a photograph or scan.

scipy is imported when it is first needed: images on an even background do not need it.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 384  # pixels: longer images are reduced to this side
_GROUND_SIDE = 24  # pixels of the shorter side, for the estimate of the paper's colour
_WINDOW = 0.45  # of the shorter side: the neighbourhood of that estimate
_PAPER = 65  # percent: more than half of the levels may be ink's
_DARK = 24  # levels: added to the paper's, so that differences on dark paper are not amplified
_BLUR = 0.7  # pixels
_WEAK = 0.45  # of the strongest difference: weaker pixels are not ink
_FEW_PIXELS = 40
_EVEN = 0.06  # of the contrast: largest deviation of nearly all pixels of an even background


def is_even(level: np.ndarray) -> bool:
    """Whether content (h, w) has an even background.

    The background is the pixels nearer to the border's level than to the level farthest from it. It is even if most of
    them differ from the border's level by less than `_EVEN`.
    """
    step = max(1, max(level.shape) // _SIDE)
    level = level[::step, ::step]
    border = np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]])
    difference = level - np.median(border)
    contrast = np.abs(difference).max()
    if contrast == 0:
        return True
    ground = np.abs(difference[np.abs(difference) < 0.5 * contrast])
    return not ground.size or bool(np.percentile(ground, 85) <= _EVEN * contrast)


def freed(pixels: np.ndarray) -> "NDArray[np.float32]":
    """Extracts the drawing from a sheet (h, w, c) uint8, as levels (h, w) float32 from 0 (paper) to 255 (ink).

    The paper's colour at each pixel is the median of a neighbourhood much wider than strokes, which follows shading and
    folds. The difference from it, along the direction of the ink's colour, is compared with the strongest one. Pieces
    that are much weaker, such as creases, connected to the border, such as shadows, or small, are removed.
    """
    from scipy import ndimage

    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    if (factor := max(image.size) / _SIDE) > 1:
        size = [max(1, round(side / factor)) for side in image.size]
        image = image.resize(size, Image.Resampling.BOX)
    sheet = np.asarray(image, np.float32).reshape(image.height, image.width, -1)
    ground = _ground(image)
    relative = (sheet - ground) / (ground.mean(axis=2, keepdims=True) + _DARK)
    ink = _along_ink(ndimage.gaussian_filter(relative, (_BLUR, _BLUR, 0), mode="nearest"))
    noise = 1.4826 * float(np.median(np.abs(ink)))
    strongest = float(_highest(ink, _FEW_PIXELS).mean())
    labelled: Any = ndimage.label(ink > max(_WEAK * strongest, 3 * noise), np.ones((3, 3)))
    pieces, count = labelled
    if not count:
        return np.zeros(ink.shape, np.float32)
    kept = np.isin(pieces, _drawing(pieces, ink))
    full = float(np.percentile(ink[kept], 75))
    near = ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=2)
    low = min(2 * noise, 0.3 * full)
    level = np.where(near, ink - low, 0) / max(full - low, 1e-6)
    return (255 * level.clip(0, 1)).astype(np.float32)


def _drawing(pieces, ink):
    """Selects the pieces (h, w), numbered from 1, of the drawing: the heaviest, and similar ones near it."""
    from scipy import ndimage

    index = np.arange(1, pieces.max() + 1)
    weight, strength = ndimage.sum_labels(ink, pieces, index), ndimage.mean(ink, pieces, index)
    border = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    at_border = np.isin(index, border)
    chosen = np.where(at_border, 0.05, 1.0) * weight * strength
    main = int(chosen.argmax())
    boxes = ndimage.find_objects(pieces)
    around = _grown(boxes[main], 0.25)
    alike = (strength >= 0.5 * strength[main]) & (weight >= 0.03 * weight[main]) & ~at_border
    alike[main] = True
    return [i + 1 for i in np.flatnonzero(alike) if i == main or _meet(boxes[i], around)]


def _grown(box, share):
    """Enlarges a box on each side by a fraction of its longer side."""
    more = share * max(side.stop - side.start for side in box)
    return [(side.start - more, side.stop + more) for side in box]


def _meet(box, spans):
    return all(side.start <= high and side.stop >= low for side, (low, high) in zip(box, spans, strict=True))


def _ground(image):
    """Estimates the paper's colour at each pixel, (h, w, c)."""
    from scipy import ndimage

    factor = max(1.0, min(image.size) / _GROUND_SIDE)
    size = [max(1, round(side / factor)) for side in image.size]
    small = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32).reshape(size[1], size[0], -1)
    window = max(3, round(_WINDOW * min(size)) | 1)

    def beneath(percentile):
        planes = [
            ndimage.percentile_filter(plane, percentile, window, mode="nearest") for plane in np.moveaxis(small, -1, 0)
        ]
        return np.stack(planes, -1)

    def differing(ground):
        return np.minimum(np.linalg.norm(small - ground, axis=2), 0.2 * np.linalg.norm(ground, axis=2)).mean()

    ground = min(beneath(_PAPER), beneath(100 - _PAPER), key=differing)  # for dark ink, and for light ink
    # The first estimate locates the ink, which the second leaves out.
    paper = np.linalg.norm(small - ground, axis=2)
    free = paper < 0.3 * _highest(paper, 4).min()
    free = ndimage.binary_erosion(free, border_value=1)
    near = window // 2 | 1
    wide: Any = (near, near, 1)
    weight = ndimage.uniform_filter(free.astype(np.float32), near, mode="nearest")
    nearer = ndimage.uniform_filter(small * free[..., None], wide, mode="nearest")
    ground = np.where(weight[..., None] > 0.15, nearer / np.maximum(weight[..., None], 1e-3), ground)
    planes = np.moveaxis(ground.astype(np.float32), -1, 0)
    resized = [Image.fromarray(plane).resize(image.size, Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in resized], -1)


def _along_ink(difference):
    """Projects each pixel's difference (h, w, c) from the paper on the direction of the ink's colour, to (h, w)."""
    length = np.linalg.norm(difference, axis=2)
    strongest = length >= _highest(length, _FEW_PIXELS).min()
    direction = difference[strongest].mean(axis=0)
    return difference @ (direction / max(float(np.linalg.norm(direction)), 1e-6))


def _highest(values, count):
    """The `count` highest values, or all if there are fewer."""
    count = min(count, values.size)
    return np.partition(values, -count, axis=None)[-count:]
