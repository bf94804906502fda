"""The page `report.html`: one file that needs no network."""

import base64
from pathlib import Path

import jinja2

_TEMPLATE = Path(__file__).with_name("report_page.html")


def report_page(outcome, confusion: bytes | None) -> str:
    """HTML of the outcome of a prediction; `confusion` is the PNG of its confusion matrix, where it has one."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_TEMPLATE.read_text())
    picture = base64.b64encode(confusion).decode() if confusion else None
    return template.render(outcome=outcome, report=outcome.report, picture=picture)
