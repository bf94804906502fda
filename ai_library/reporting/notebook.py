"""How data sources show themselves in a notebook."""

import base64
import io

import jinja2
import numpy as np
from PIL import Image

_SOURCE = """<p><b>{{ kind }}</b>: {{ shape|join("x") }} images of {{ names|length }} classes ({{ names|join(", ") }});
{% for split, size in sizes.items() %}{{ "{:,}".format(size) }} {{ split }}{{ ", " if not loop.last }}{% endfor %}</p>
<img alt="the first training images: {{ shown|join(', ') }}" src="data:image/png;base64,{{ picture }}">"""


def source_html(source, sizes: dict[str, int], n: int = 18) -> str:
    """What a data source holds, and its first `n` training images side by side at their own size."""
    images, labels = source.examples("train", range(min(n, sizes["train"])))
    strip = np.concatenate(list(images), axis=1)
    picture = io.BytesIO()
    Image.fromarray(strip.squeeze(2) if strip.shape[2] == 1 else strip).save(picture, format="PNG")
    return _rendered(
        _SOURCE,
        kind=type(source).__name__,
        shape=source.image_shape,
        names=source.class_names,
        sizes=sizes,
        shown=[source.class_names[label] for label in labels],
        picture=base64.b64encode(picture.getvalue()).decode(),
    )


def _rendered(template, **values):
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template).render(values)
