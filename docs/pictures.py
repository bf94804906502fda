"""Makes `shapes.png` and `shapes_confusion.png` from the committed model: python docs/pictures.py"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ai_library import ShapeDataSource, evaluate, load_model, psychometric

CONTRASTS = [0.1, 0.12, 0.15, 0.2, 0.3, 0.5]  # those of laboratory.md
SHOWN = 7  # the evaluation image that is shown at each, a star


def main():
    source = ShapeDataSource()
    source.show(27).savefig(ROOT / "docs/shapes.png", dpi=80)
    classifier = load_model(ROOT / "ai_application/models/shapes.msgpack")
    report = evaluate(classifier, source)
    report.confusion_figure().savefig(ROOT / "docs/shapes_confusion.png", dpi=80)
    drawn = io.BytesIO()
    contrast_figure(classifier, source).savefig(drawn, dpi=110)
    picture = Image.open(drawn).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    picture.save(ROOT / "docs/psychometric.png", optimize=True)


def contrast_figure(classifier, source):
    """The psychometric curve over contrast, and above it one image at each contrast with what it is taken for."""
    curve = psychometric(classifier, source, "contrast", CONTRASTS)
    print(curve)
    figure = curve.figure()
    figure.set_size_inches(7, 4)
    (axis,) = figure.axes
    figure.suptitle(axis.get_title(), fontsize=10)
    axis.set_title("")
    axis.set(xscale="log", xlabel="contrast of shape and background", xlim=(0.09, 0.56), yticks=np.arange(0, 1.1, 0.25))
    axis.set_xticks(CONTRASTS, [f"{each:g}" for each in CONTRASTS])
    axis.minorticks_off()
    axis.text(CONTRASTS[-1], curve.chance - 0.02, "guessing", ha="center", va="top", color="grey")
    for contrast in CONTRASTS:
        left, right = contrast / 1.09, contrast * 1.09
        above = axis.inset_axes((left, 1.04, right - left, 0.25), transform=axis.get_xaxis_transform())
        images, _ = source.fixed("contrast", contrast).examples("evaluation", [SHOWN])
        above.imshow(images[0, ..., 0], cmap="gray", vmin=0, vmax=255)
        above.set_title(source.class_names[classifier.predict(images)[0]], fontsize=9)
        above.axis("off")
    return figure


if __name__ == "__main__":
    main()
