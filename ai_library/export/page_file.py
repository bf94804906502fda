"""Exports a classifier as a page: one HTML file that runs the network in the browser, without a connection."""

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

_FOLDER = Path(__file__).parent / "page-parts"  # not a valid package name
_SCRIPTS = ("engine", "pillow", "paper", "fitting", "png", "decoding", "board", "app")
"""Joined in this order they are one module; the last part starts it."""


def export_page(path: str | Path, classifier: Classifier) -> None:
    """Writes a classifier as an HTML page that classifies drawings and image files.

    The page is one file. Its Content-Security-Policy forbids it to load anything, so that it works offline, and images
    never leave it. Image files are brought to the image shape as by `fit_image`. PNG files are decoded as in the
    library, others by the browser. Below the confidence `Classifier.abstain_below` the answer is "not sure".

    >>> cnn = CNN(num_classes=2, features=(4, 4, 4, 4, 4), dense=4)
    >>> variables = cnn.initialise(seed=0, image_shape=(16, 16, 1))  # a trained one in practice
    >>> export_page("shapes.html", Classifier(cnn, variables, ("circle", "star"), (16, 16, 1)))

    Args:
        path: The file to write. An existing file is replaced only when the new one is complete.
        classifier: Its network is a `CNN` or a `ResNet`, not of a subclass.

    Raises:
        InputError: The network is another one, or the file cannot be written.
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
        model=json.dumps(model).replace("<", "\\u003c"),  # no name can end the script element
        weights=base64.b64encode(weights.tobytes()).decode(),
        script=script,
    )
    return page.encode()


def _read(name):
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source(content):
    """The hash of a content, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
