"""Shows the first images of a data source: as a figure, and as HTML in a notebook.

The figure needs matplotlib and the HTML jinja2; without it each raises `MissingExtraError`.
"""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import InputError, MissingExtraError
from ..files.text import listed, shortened
from .drawn_names import DrawnNames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .source import DataSource

_TEMPLATE = """<p><b>{{ kind }}</b>: {{ shape|join("x") }} images of {{ classes }} classes ({{ names }});
{% for split, size in sizes.items() %}{{ "{:,}".format(size) }} {{ split }}{{ ", " if not loop.last }}{% endfor %}</p>
<img alt="the first training images: {{ shown|join(', ') }}" src="data:image/png;base64,{{ picture }}">"""


def source_figure(source: "DataSource", n: int, split: str, columns: int) -> "Figure":
    """Returns a matplotlib figure of the first `n` examples of a split with their class names, in `columns`.

    Names that the font cannot draw are replaced by numbers, which a legend explains.
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error

    n = min(n, source.size(split))
    if n < 1:
        raise InputError(f"n must be 1 or more, got {n}")
    images, labels = source.examples(split, range(n))
    columns = min(columns, n)
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.2 * columns, 1.4 * rows), squeeze=False, layout="constrained")
    names = DrawnNames(source.class_names)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, label in zip(axes.flat, images, labels, strict=False):
        axis.imshow(_shown(image), cmap="gray", vmin=0, vmax=255)
        axis.set_title(names[label], fontsize=9, parse_math=False)
    names.add_legend(figure, labels)
    plt.close(figure)  # a notebook would show an open one twice
    return figure


def source_html(source: "DataSource", n: int = 18) -> str:
    """Returns HTML: a summary of a data source, and its first `n` training images side by side at their own size."""
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError(error, "report") from error
    images, labels = source.examples("train", range(min(n, source.size("train"))))
    picture = io.BytesIO()
    Image.fromarray(_shown(np.concatenate(list(images), axis=1))).save(picture, format="PNG")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_TEMPLATE)
    return template.render(
        kind=type(source).__name__,
        shape=source.image_shape,
        classes=source.num_classes,
        names=listed(source.class_names),
        sizes={split: source.size(split) for split in source.splits},
        shown=[shortened(source.class_names[label]) for label in labels],
        picture=base64.b64encode(picture.getvalue()).decode(),
    )


def _shown(image):
    """An image (h, w, c) uint8 of 1 to 4 channels in a form for Pillow and matplotlib: (h, w) or (h, w, 3 or 4)."""
    if image.shape[2] == 2:
        return image[..., [0, 0, 0, 1]]
    return image[..., 0] if image.shape[2] == 1 else image
