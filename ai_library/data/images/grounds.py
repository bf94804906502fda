"""The ground of an image: what transparent images are laid on."""

import numpy as np
from PIL import Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of channels."""
ON_WHITE, ON_BLACK = "transparent: laid on white", "transparent and light: laid on black"
_VISIBLE = 64  # levels, as the mean of a drawing's difference from its ground


def on_ground(image: Image.Image, grey: bool) -> tuple[Image.Image, str]:
    """Lays an RGBA image on a background that leaves the drawing visible, and returns which one.

    The background is white, as in most programs, or black where the drawing is nearly white. An opaque image stays as
    it is, and no background is named.

    Args:
        image: Of mode RGBA.
        grey: Whether the image is to be grey, so that its colours do not show.
    """
    *_, opacity = image.split()
    if opacity.getextrema()[0] == 255:
        return image, ""
    drawing = np.asarray(image.convert("L"))[..., None] if grey else np.asarray(image)[..., :3]
    weight = np.asarray(opacity, np.float32)
    total = float(weight.sum())
    darkness = (255 - drawing.min(axis=2)).astype(np.float32)  # of the channel that shows it best
    light = total > 0 and float((darkness * weight).sum()) / total < _VISIBLE
    ground = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(ground, image), ON_BLACK if light else ON_WHITE
