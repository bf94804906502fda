"""The page of a study: its figures, and which conditions differ, with intervals and tests."""

import math
from collections.abc import Mapping
from typing import Any

from ..reporting.diagrams import spread_mark
from ..reporting.page import rendered
from ..runtime.agreement import differences
from .results import METRICS, NO_DIFFERENCE, StudyResults, needed


def study_page(results: StudyResults, definitions: Mapping[str, Any] | None = None, command: str = "") -> str:
    """The page as self-contained HTML.

    Args:
        results: The results of a study.
        definitions: The settings of each condition, as in `study.json`; the page shows how they differ.
        command: The shell command that ran the study; "" leaves it out.
    """
    found = [each for each in results.comparisons if each.conclusion != NO_DIFFERENCE]
    figures = [(each, each.values.tolist(), (each.mean.low, each.mean.high)) for each in results.summaries]
    gaps = [
        (each, each.differences.tolist(), (each.difference.low, each.difference.high)) for each in results.comparisons
    ]
    changes = _changes(results.conditions, definitions or {})
    return rendered(
        "study.html",
        results=results,
        found=found,
        runs=len(results.conditions) * len(results.seeds),
        better="higher" if METRICS[results.metric] else "lower",
        figures=_marked(figures),
        differences=_marked(gaps, zero=True),
        needed=needed,
        changes=changes,
        other_data=any("source." in text for *_, text in changes),
        command=command,
    )


def _marked(rows, zero=False):
    """The rows, each with a drawing of its values, all on one scale."""
    numbers = [number for _, values, interval in rows for number in (*values, *interval) if not math.isnan(number)]
    scale = min([*numbers, *[0.0][:zero]], default=0.0), max([*numbers, *[0.0][:zero]], default=1.0)
    return [(each, spread_mark(values, interval, scale)) for each, values, interval in rows]


def _changes(conditions, definitions):
    """(condition, its differences from the first one) for all known conditions but the first."""
    first, *others = [name for name in conditions if name in definitions] or [None]
    text = "{name} {second}, not {first}"
    return [(first, name, differences(definitions[first], definitions[name], text)) for name in others]
