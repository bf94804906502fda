"""Frees what is written or drawn from the paper that it was photographed or scanned on.

scipy is imported when the first sheet is met: images on an even ground do without.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 384  # pixels of the longer side that a sheet is brought to, where it has more
_GROUND_SIDE = 24  # of the shorter side, for the search of its ground
_WINDOW = 0.45  # of the shorter side, over which the ground is sought
_PAPER = 65  # percent: more than half of the levels may be ink's
_DARK = 24  # levels, below which differences are not made larger by how dark the ground is
_BLUR = 0.7  # pixels
_WEAK = 0.45  # of the strongest difference, below which nothing belongs to strokes
_FEW_PIXELS = 40
_EVEN = 0.06  # of the contrast, within which nearly all of an even ground lies


def is_even(level: np.ndarray) -> bool:
    """Whether content (h, w) lies on a background of one level.

    That is so where most of the pixels that are nearer to the border's level than to the farthest level differ from the
    border's by next to nothing.
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
    """What was drawn on a sheet (h, w, c) uint8, as levels (h, w) float32 from 0, the paper, to 255, the ink.

    The paper's colour at each place is the median of a neighbourhood that is wide beside strokes, which follows shades
    and the edges of folds. What differs from it in the direction of the ink's colour is compared with the strongest
    such difference: where it is much weaker, as in creases, or hangs together with the border, as shadows do, or is
    small, it is not the drawing.
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
    """Which of the pieces (h, w), numbered from 1, are the drawing: the heaviest, and those like it that are near."""
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
    """A box, wider on each side by a share of its longer side."""
    more = share * max(side.stop - side.start for side in box)
    return [(side.start - more, side.stop + more) for side in box]


def _meet(box, spans):
    return all(side.start <= high and side.stop >= low for side, (low, high) in zip(box, spans, strict=True))


def _ground(image):
    """The paper's colour at each place (h, w, c)."""
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

    ground = min(beneath(_PAPER), beneath(100 - _PAPER), key=differing)  # beneath dark ink, and beneath light
    # The ink is now known nearly enough to be left out.
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
    """How far each pixel's difference (h, w, c) from the paper goes in the direction of the ink's colour (h, w)."""
    length = np.linalg.norm(difference, axis=2)
    strongest = length >= _highest(length, _FEW_PIXELS).min()
    direction = difference[strongest].mean(axis=0)
    return difference @ (direction / max(float(np.linalg.norm(direction)), 1e-6))


def _highest(values, count):
    """The highest so many values, or all."""
    count = min(count, values.size)
    return np.partition(values, -count, axis=None)[-count:]
