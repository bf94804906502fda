"""The background with which transparent images are composed."""

import numpy as np
from PIL import Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of channels."""
ON_WHITE, ON_BLACK = "transparent: laid on white", "transparent and light: laid on black"
_VISIBLE = 64  # levels: least mean difference of a drawing from its background


def on_ground(image: Image.Image, grey: bool) -> tuple[Image.Image, str]:
    """Composes an RGBA image with a background on which it is visible, and returns a remark that names it.

    The background is white, as in most programs, or black if the drawing is nearly white. An opaque image does not
    change, and has no remark.

    Args:
        image: Of mode RGBA.
        grey: Whether the image will become grey, so that its colours are not visible.
    """
    *_, opacity = image.split()
    if opacity.getextrema()[0] == 255:
        return image, ""
    drawing = np.asarray(image.convert("L"))[..., None] if grey else np.asarray(image)[..., :3]
    weight = np.asarray(opacity, np.float32)
    total = float(weight.sum())
    darkness = (255 - drawing.min(axis=2)).astype(np.float32)  # in the channel with the largest contrast
    light = total > 0 and float((darkness * weight).sum()) / total < _VISIBLE
    ground = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(ground, image), ON_BLACK if light else ON_WHITE
