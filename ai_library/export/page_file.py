"""A classifier as a page: one HTML file, in which the network runs, that needs no network connection."""

import base64
import hashlib
import json
from pathlib import Path
from string import Template

import numpy as np

from ..files.atomic import write_bytes
from ..files.text import escaped
from ..networks.classifier import Classifier
from .description import described
from .graph import graph_of

_FOLDER = Path(__file__).parent / "page-parts"  # with a name that no package has
_SCRIPTS = ("engine", "pillow", "paper", "fitting", "png", "decoding", "board", "app")
"""They make one module, whose last part starts it."""


def export_page(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier as a page that classifies what is drawn on it, and image files.

    Everything is in the one file, and its Content-Security-Policy lets it load nothing: it works from a disk, without a
    network, and nothing that it is shown leaves it. Image files are brought to the image shape as `fit_image` does it;
    PNG files are decoded as the library decodes them, others by the browser. The answer is "not sure" below
    `Classifier.abstain_below`.

    Args:
        path: The file to write; an older one stays whole until this one is.
        classifier: Its network is a `CNN` or a `ResNet` itself.

    Raises `InputError` for another network, or where the file can't be written.
    """
    write_bytes(path, page_of(classifier))


def page_of(classifier: Classifier) -> bytes:
    """The page that `export_page` writes, in UTF-8. The same classifier gives the same bytes."""
    graph = graph_of(classifier, "A page")
    constants, start = {}, 0
    for name, array in graph.constants.items():
        constants[name] = {"shape": array.shape, "start": start}
        start += array.size
    weights = np.concatenate([array.ravel() for array in graph.constants.values()], dtype="<f4", casting="unsafe")
    model = {
        **described(classifier),
        "class_names": [escaped(name) for name in classifier.class_names],
        "abstain_below": classifier.abstain_below,
        "nodes": [node._asdict() for node in graph.nodes],
        "constants": constants,
    }
    style = _read("page.css")
    script = "".join(_read(f"{name}.js") for name in _SCRIPTS)
    page = Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        model=json.dumps(model).replace("<", "\\u003c"),  # so that no name ends the element
        weights=base64.b64encode(weights.tobytes()).decode(),
        script=script,
    )
    return page.encode()


def _read(name):
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source(content):
    """What a policy calls exactly this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
