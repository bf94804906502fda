"""The page `report.html`, one self-contained file, and `metrics.json`."""

import base64
import io
import json
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from ..evaluation.corruptions import CORRUPTIONS, SEVERITIES
from ..evaluation.figures import MAX_MATRIX, class_rows, classes_left_out
from ..evaluation.metrics import CALIBRATION_BINS
from ..evaluation.slices import accuracy_grid
from ..files.file_set import replacing_together
from ..files.folder_lock import locked
from ..files.text import escaped, listed
from .diagrams import corruption_diagram, coverage_diagram, interval_mark, reliability_diagram
from .findings import Findings, leaks_as_json, leaks_told

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

FILES = ("report.html", "metrics.json")
"""The files of `write_findings`; the second only if there are metrics."""
_PICTURE_SIDE = 128
_HERE = Path(__file__).parent
_COMPILED = _HERE / "__pycache__"


class _CompiledTemplates(jinja2.FileSystemBytecodeCache):
    """Keeps compiled templates beside Python's compiled modules.

    Compiling the page takes a tenth of the time of predicting one image. A cache that cannot be read or written is not
    used.
    """

    def __init__(self):
        super().__init__(str(_COMPILED), f"%s.{sys.implementation.cache_tag}.jinja")

    def load_bytecode(self, bucket: "Bucket") -> None:
        try:
            super().load_bytecode(bucket)
        except Exception:  # whatever a damaged file raises
            bucket.reset()

    def dump_bytecode(self, bucket: "Bucket") -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


def findings_files(findings: Findings) -> dict[str, bytes]:
    """The contents of `report.html` and, where there are metrics, of `metrics.json`."""
    files = {"report.html": report_page(findings).encode()}
    if findings.report:
        metrics = {**findings.report.metrics(), **leaks_as_json(findings.report, findings.leaked)}
        files["metrics.json"] = json.dumps(metrics, indent=1).encode()
    return files


def write_findings(findings: Findings, folder: str | Path) -> None:
    """Writes `report.html` into a folder, and `metrics.json` if there are metrics.

    An earlier `metrics.json` would describe other images, and is removed. Raises `InputError` if the files cannot be
    written, or another process writes there.
    """
    files, folder = findings_files(findings), Path(folder)
    with locked(folder) as check, replacing_together([folder / name for name in FILES], check) as begin:
        for name, content in files.items():
            begin(folder / name, "wb").write(content)


def report_page(findings: Findings) -> str:
    """The page as HTML. UTF-8 can encode it, whatever its names contain."""
    return rendered(
        "page.html",
        findings=findings,
        report=findings.report,
        classifier=findings.classifier,
        card=_card(findings),
        settings=_settings(findings.source),
        **_report_parts(findings),
        **_corruption_parts(findings),
    )


def rendered(template: str, **values: Any) -> str:
    """Renders a template of this folder. Its values are escaped, so that names cannot break the page or run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        bytecode_cache=_CompiledTemplates(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda value, digits=2: "-" if value is None else f"{value:.{digits}%}",
        "figure": lambda value: "-" if value is None else f"{value:.4f}",
        "count": lambda value: f"{value:,}",
        "picture": _picture,
    }
    return environment.get_template(template).render(values)


def _printable(value):
    """A name with escapes for characters that could break the page or reverse its text."""
    return escaped(value) if type(value) is str else value


def _picture(image):
    """An image (h, w, c) uint8 as a data URL of a PNG; large images are reduced."""
    from PIL import Image

    picture, stream = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image), io.BytesIO()
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    picture.save(stream, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _report_parts(findings: Findings) -> dict[str, Any]:
    """The values of the template that are made from a report."""
    report = findings.report
    if report is None:
        return {}
    plain = report.at_temperature(1.0)
    parts = {"plain": plain, "bins": CALIBRATION_BINS, "grid": None}
    parts["reliability"] = [("after the temperature", report)]
    if report.temperature != 1:
        parts["reliability"].insert(0, ("before, as the network gave it", plain))
    parts["reliability"] = [
        (title, each, reliability_diagram(each.reliability, f"Reliability {title}: the figures are in the table below"))
        for title, each in parts["reliability"]
    ]
    parts["coverage"] = coverage_diagram(
        *report.coverage_curve(),
        "Accuracy against the share of the images that is decided, the most certain first: see the table below",
    )
    parts["rows"], parts["left_out"] = class_rows(report), classes_left_out(report)
    parts["matrix"] = counts = report.confusion_matrix if len(report.class_names) <= MAX_MATRIX else None
    if counts is not None:
        parts["shares"] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = findings.accuracy_by_factor
    lowest = parts["lowest"] = min(
        (row.accuracy_interval[0] for parts_ in rows.values() for row in parts_), default=0.0
    )
    parts["factors"] = {
        name: [(row, interval_mark(row.accuracy, row.accuracy_interval, lowest)) for row in rows[name]]
        for name in sorted(rows, key=lambda name: name not in findings.most_telling)
    }
    if findings.factors and len(findings.most_telling) == 2:
        grid = accuracy_grid(report.hits, *(findings.factors[name] for name in findings.most_telling))
        wrong = 1 - grid.accuracy[grid.n > 0]
        if wrong.any():  # there may be no image with both factors
            parts["grid"], parts["most_errors"] = grid, float(wrong.max())
    return parts


def _corruption_parts(findings):
    """The rows of each corruption from severity 0, with its meaning and its diagram."""
    if not findings.corruptions:
        return {}
    whole, *rows = findings.corruptions
    table = []
    for kind, corruption in CORRUPTIONS.items():
        line = [whole, *(row for row in rows if row.kind == kind)]
        label = f"{kind}: accuracy from {whole.accuracy:.1%} without to {line[-1].accuracy:.1%} at the highest severity"
        table.append((kind, corruption, line, corruption_diagram(line, label)))
    return {"corruptions": table, "severities": SEVERITIES}


def _card(findings):
    """The model card, as texts by name."""
    classifier, source = findings.classifier, findings.source
    h, w, c = classifier.image_shape
    classes = len(classifier.class_names)
    card = {}
    if source is not None:
        settings = source.settings()
        card["Trained on"] = (type(source).__doc__ or type(source).__name__).strip().splitlines()[0]
        card["Examples"] = ", ".join(f"{name} {size:,}" for name, size in settings["sizes"].items())
        card["Seed"] = f"{settings['seed']}"
    card["Made for"] = (
        f"Telling {classes} classes apart in {'grey' if c <= 2 else 'colour'} images that look like those it was "
        f"trained on, fitted into {w} x {h} pixels. It gives every class a probability."
    )
    card["Classes"] = listed(classifier.class_names)
    if classifier.architecture:
        architecture = ", ".join(f"{name} {value}" for name, value in vars(classifier.architecture).items())
        card["Architecture"] = f"Convolutional network ({architecture})"
    else:
        card["Architecture"] = type(classifier.model).__name__
    card["Parameters"] = f"{_count(classifier.variables.get('params', {})):,}"
    card["Temperature"] = f"{classifier.temperature:.4g}: what the logits are divided by, fitted on validation"
    if (accuracy := classifier.metric("validation", "validation_accuracy")) is not None:
        epoch = classifier.metric("validation", "epoch")
        card["Validation accuracy"] = f"{accuracy:.2%}" + (f" after {epoch:g} epochs" if epoch else "")
    if source is None and (accuracy := classifier.metric("evaluation", "accuracy")) is not None:
        n, copies = classifier.metric("evaluation", "n"), leaks_told(classifier)
        tried_on = f" on {n:,} images of the evaluation split" if n else ""
        card["Accuracy when trained"] = f"{accuracy:.2%}{tried_on}" + (f"; {copies}" if copies else "")
    used = [sys.modules[name] for name in ("jax", "flax", "optax", "numpy") if name in sys.modules]
    versions = [f"{module.__name__} {module.__version__}" for module in used]
    card["Evaluated with"] = ", ".join([f"Python {platform.python_version()}", *versions])
    return card


def _count(params):
    """The number of values in a tree of arrays of any depth; without JAX, as pages of few images are made."""
    if isinstance(params, Mapping):
        return sum(map(_count, params.values()))
    return sum(map(_count, params)) if isinstance(params, (list, tuple)) else np.size(params)


def _settings(source):
    """The settings of the source, one JSON line each; "" if unknown."""
    if source is None:
        return ""
    return Markup("\n").join(escape(f"{name}: {json.dumps(value)}") for name, value in source.settings().items())
