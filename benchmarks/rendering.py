"""Microseconds an image on one core: ours, and the usual ways to draw 64x64 shapes with scikit-image, Pillow, OpenCV.

Each draws the same kind of image as ours, as far as possible: a filled or outlined polygon or ellipse at a random
place, with antialiasing by 4x4 supersampling, on a background gradient, with noise. `random_shapes` draws its own kind
of image: once with its defaults, without any of these, and once supersampled and finished like the others. The process
uses one core. All take turns, round by round. A ratio is the median over the rounds of the peer's time over ours in the
same round. The last line compares drawing a batch with one training step on it, on that core.
"""

import argparse
import math
import os
import statistics
import sys
import time

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX counts the cores

import numpy as np
from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

from ai_library import CNN, ShapeDataSource, TrainConfig, create_train_state, train_step
from ai_library.runtime.cpu import keep_freed_memory

SIDE, FINER = 64, 4


def corners(rng):
    """The outline of a random shape in finer pixels: a polygon of 3 to 6 corners, or an ellipse of 72."""
    count = int(rng.choice([3, 4, 5, 6, 72]))
    radius = rng.uniform(0.14, 0.48) * SIDE
    center = rng.uniform(radius, SIDE - radius, 2)
    angles = rng.uniform(0, 2 * math.pi) + np.linspace(0, 2 * math.pi, count, endpoint=False)
    squash = rng.uniform(0.4, 1) if count == 72 else 1
    return FINER * (center + radius * np.stack([np.cos(angles), squash * np.sin(angles)], axis=1))


def finish(cover, rng):
    """Levels, gradient and noise on the cover (64, 64) from 0 to 1."""
    slope = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    background = rng.uniform(0.2, 0.8) + rng.uniform(-0.2, 0.2) * slope + rng.uniform(-0.2, 0.2) * slope[:, None]
    levels = background + cover * (rng.uniform(0, 1) - background)
    levels += rng.uniform(0, 0.06) * rng.standard_normal((SIDE, SIDE), np.float32)
    return (255 * np.clip(levels, 0, 1)).astype(np.uint8)


def pillow(rng):
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (SIDE * FINER,) * 2)
    points = [tuple(point) for point in corners(rng)]
    if rng.random() < 0.5:
        ImageDraw.Draw(canvas).polygon(points, fill=255)
    else:
        ImageDraw.Draw(canvas).line([*points, points[0]], fill=255, width=3 * FINER)
    small = canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
    return finish(np.asarray(small, np.float32) / 255, rng)


def skimage_polygon(rng):
    from skimage.draw import polygon

    canvas = np.zeros((SIDE * FINER,) * 2, np.float32)
    points = corners(rng)
    canvas[polygon(points[:, 1], points[:, 0], canvas.shape)] = 1
    return finish(canvas.reshape(SIDE, FINER, SIDE, FINER).mean((1, 3)), rng)


def skimage_random_shapes(rng):
    from skimage.draw import random_shapes

    return random_shapes((SIDE, SIDE), max_shapes=1, min_size=9, max_size=31, channel_axis=None, rng=rng)[0]


def skimage_random_shapes_finer(rng):
    from skimage.draw import random_shapes

    side = SIDE * FINER
    canvas = random_shapes((side, side), 1, min_size=9 * FINER, max_size=31 * FINER, channel_axis=None, rng=rng)[0]
    return finish(1 - canvas.reshape(SIDE, FINER, SIDE, FINER).mean((1, 3), dtype=np.float32) / 255, rng)


def opencv(rng):
    import cv2

    canvas = np.zeros((SIDE * FINER,) * 2, np.uint8)
    points = np.rint(corners(rng)).astype(np.int32)
    if rng.random() < 0.5:
        cv2.fillPoly(canvas, [points], 255)
    else:
        cv2.polylines(canvas, [points], isClosed=True, color=255, thickness=3 * FINER)
    small = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return finish(small.astype(np.float32) / 255, rng)


def seconds_an_image(draws, rounds):
    """Seconds an image of every entry {name: (draw, calls, images a call)}, measured in turn: {name: [seconds]}."""
    taken = {name: [] for name in draws}
    for turn in range(rounds + 1):
        for name, (draw, calls, images) in draws.items():
            start = time.perf_counter()
            for _ in range(calls):
                draw()
            if turn:  # the first warms up
                taken[name].append((time.perf_counter() - start) / (calls * images))
    return taken


def training_step_seconds(source, examples):
    """Median of 40 steps on one batch."""
    state = create_train_state(CNN(num_classes=9), source.image_shape, TrainConfig(), 1000)
    times = []
    for _ in range(40):
        start = time.perf_counter()
        state, metrics = train_step(state, *examples)
        metrics["loss"].block_until_ready()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="(%(default)s)")
    rounds = parser.parse_args().rounds

    keep_freed_memory()  # as the training scripts do
    batch = 64
    source = ShapeDataSource(sizes=(10**6, 1, 1))
    rng = np.random.default_rng(0)

    def ours():
        return source.examples("train", rng.integers(0, 10**6, batch))

    draws = {"ai_library": (ours, 100, batch)}
    peers = {
        "random_shapes as it comes": (skimage_random_shapes, 300),
        "random_shapes, 4x4": (skimage_random_shapes_finer, 50),
        "scikit-image polygon, 4x4": (skimage_polygon, 15),
        "Pillow, 4x4": (pillow, 150),
        "OpenCV, 4x4": (opencv, 300),
    }
    for name, (draw, calls) in peers.items():
        try:
            draw(rng)
            draws[name] = (lambda draw=draw: draw(rng), calls, 1)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    taken = seconds_an_image(draws, rounds)
    median = {name: statistics.median(times) for name, times in taken.items()}
    lines = [f"{'64x64 images':<28}{'us an image':>12}{'spread':>18}{'images/s':>10}{'times ours':>12}{'spread':>16}"]
    for name, times in taken.items():
        ratios = [peer / own for peer, own in zip(times, taken["ai_library"], strict=True)]
        spread = f"{min(times) * 1e6:.1f} to {max(times) * 1e6:.1f}"
        lines.append(
            f"{name:<28}{median[name] * 1e6:>12.1f}{spread:>18}{1 / median[name]:>10,.0f}"
            f"{statistics.median(ratios):>12.1f}{f'{min(ratios):.1f} to {max(ratios):.1f}':>16}"
        )
    step, drawing = training_step_seconds(source, ours()), median["ai_library"] * batch
    share = f"{drawing * 1e3:.2f} ms, {drawing / (step + drawing):.1%} of both"
    lines += ["", f"batch of {batch}: training step {step * 1e3:.1f} ms, drawing {share}"]
    keep("rendering", lines, "jax", "scikit-image", "pillow", "opencv-python-headless")


if __name__ == "__main__":
    main()
