"""How reports show themselves in a notebook."""

import jinja2

_REPORT = """<table>
<caption><b>accuracy {{ "%.2f"|format(100 * report.accuracy) }} %</b></caption>
{% for name, value in report.summary().items() %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<table>
<tr><th scope="col">class</th><th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th>
<th scope="col">images</th></tr>
{% for name, row in report.per_class.items() %}<tr><th scope="row">{{ name }}</th>
<td>{{ "%.4f"|format(row.precision) }}</td><td>{{ "%.4f"|format(row.recall) }}</td>
<td>{{ "%.4f"|format(row.f1) }}</td><td>{{ "{:,}".format(row.support) }}</td></tr>
{% endfor %}</table>"""


def report_html(report) -> str:
    """The main figures of a `Report`, and a row for each class."""
    return _rendered(_REPORT, report=report)


def _rendered(template, **values):
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template).render(values)
