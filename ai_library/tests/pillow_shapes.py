"""Shapes drawn by Pillow, a renderer that shares nothing with ours: what users' own drawings look like."""

import math

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 8


def draw_pillow_folder(folder, names, number=1800):
    """Draws PNG files, of each name in turn, into the sub-folders of `folder` that are named like them."""
    rng = np.random.default_rng(0)
    for index in range(number):
        name = names[index % len(names)]
        path = folder / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_pillow_shape(name, rng).save(path)


def draw_pillow_shape(name, rng):
    """A PIL image of one shape: filled or outlined, on a plain background, of a random size and thickness."""
    side = int(rng.integers(48, 129))
    radius = rng.uniform(0.18, 0.46) * side
    x, y = rng.uniform(radius + 1, side - radius - 1, 2)
    angle = rng.uniform(0, 2 * math.pi)
    background, ink = rng.permutation([rng.uniform(0, 90), rng.uniform(150, 255)])
    outline = rng.uniform(0.02, 0.09) * side if rng.random() < 0.5 else None

    canvas = Image.new("L", (side * SUPERSAMPLING,) * 2, int(background))
    pen = ImageDraw.Draw(canvas)
    points = [
        (
            (x + px * math.cos(angle) - py * math.sin(angle)) * SUPERSAMPLING,
            (y + px * math.sin(angle) + py * math.cos(angle)) * SUPERSAMPLING,
        )
        for px, py in _corners(name, radius, rng)
    ]
    if outline is None:
        pen.polygon(points, fill=int(ink))
    else:
        pen.line([*points, *points[:2]], fill=int(ink), width=round(outline * SUPERSAMPLING), joint="curve")
    return canvas.resize((side, side), Image.Resampling.BOX)


def _corners(name, radius, rng):
    if name in ("circle", "ellipse"):
        squash = 1 if name == "circle" else 1 / rng.uniform(1.4, 2.5)
        turns = np.linspace(0, 2 * math.pi, 180, endpoint=False)
        return [(radius * math.cos(t), radius * squash * math.sin(t)) for t in turns]
    if name == "rectangle":
        tilt = math.atan(1 / rng.uniform(1.4, 2.5))
        x, y = radius * math.cos(tilt), radius * math.sin(tilt)
        return [(x, y), (-x, y), (-x, -y), (x, -y)]
    if name == "cross":
        arm = rng.uniform(0.25, 0.4)
        long = radius / math.hypot(1, arm)
        short = arm * long
        quarter = [(long, -short), (long, short), (short, short)]
        return [
            (px * math.cos(t) - py * math.sin(t), px * math.sin(t) + py * math.cos(t))
            for t in (0, math.pi / 2, math.pi, 3 * math.pi / 2)
            for px, py in quarter
        ]
    corners = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "star": 10}[name]
    inner = rng.uniform(0.38, 0.52) if name == "star" else 1
    radii = [radius * (inner if k % 2 else 1) for k in range(corners)]
    return [
        (r * math.cos(2 * math.pi * k / corners), r * math.sin(2 * math.pi * k / corners)) for k, r in enumerate(radii)
    ]
