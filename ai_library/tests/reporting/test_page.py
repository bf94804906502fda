"""What `report.html` says, and that no name in it does harm."""

import dataclasses
import html.parser
import json
import re
import sys

import numpy as np
import pytest

from ai_library import ArrayExamples, Classifier, ShapeDataSource, evaluate
from ai_library.data.folders.samples import Sample
from ai_library.evaluation.corruptions import CORRUPTIONS, CorruptedAccuracy
from ai_library.evaluation.metrics import accuracy_interval
from ai_library.reporting import page
from ai_library.reporting.findings import HARDEST, Example, Findings, examine
from ai_library.reporting.page import report_page, write_findings
from ai_library.reporting.predictions import predict_samples
from ai_library.tests.own_networks import Linear

VOID = {"meta", "img", "br", "line", "polyline", "circle"}


class Page(html.parser.HTMLParser):
    """What a page holds: its text, its tables as rows of cells, its headings, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.rows, self.headings, self.attributes = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag == "span" and self.rows[-1:] and "th" in self.open:
            self.rows[-1][-1] += " "
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if self.rows and {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name, cells):
        """The one row of this name with that many cells."""
        (row,) = {tuple(row) for row in self.rows if row[0] == name and len(row) == cells}
        return list(row)


class Undescribed(ShapeDataSource):
    """Shapes that nobody knows more of."""

    def load(self, split):
        return ArrayExamples(*super().load(split)[np.arange(self._sizes[split])])


@pytest.fixture(scope="module")
def findings(classifier, source):
    """Those of a source that knows what its images show, one of ten of them wrong, at a temperature other than 1."""
    warm = dataclasses.replace(classifier, temperature=1.5)
    report = evaluate(warm, source)
    labels = np.where(np.arange(report.n) % 10 == 0, (report.predictions + 1) % 3, report.predictions)
    return dataclasses.replace(
        examine(warm, source, report, "python scripts/train.py --seed 3"),
        report=dataclasses.replace(report, labels=labels),
    )


def test_figures_are_those_of_the_report(findings):
    page, metrics = Page(report_page(findings)), findings.report.metrics()
    assert f"{metrics['accuracy']:.2%}" in page.text
    main = {row[0].split("  ")[0]: row[1:] for row in page.rows if len(row) == 3}
    for name, key in (("macro F1", "macro_f1"), ("ROC AUC", "roc_auc"), ("average precision", "average_precision")):
        assert main[name][0] == f"{metrics[key]:.4f}"
    for name, key in (("log loss", "log_loss"), ("Brier score", "brier"), ("calibration error", "ece")):
        assert main[name] == [f"{metrics[key]:.4f}", f"{metrics['uncalibrated'][key]:.4f}"]
    assert main["accuracy"] == [f"{metrics['accuracy']:.2%}", "same"]
    names = ("precision", "recall", "f1", "roc_auc", "average_precision")
    for name, row in metrics["per_class"].items():
        assert page.row(name, 7)[1:] == [f"{row['support']}", *(f"{row[each]:.4f}" for each in names)]
    for name, counts in zip(metrics["class_names"], metrics["confusion_matrix"], strict=True):
        assert [name, *map(str, counts)] in page.rows
    first = metrics["most_confused"][0]
    assert [first["true"], first["predicted"], str(first["count"]), f"{first['share']:.2%}"] in page.rows
    for row in metrics["coverage"]:
        assert page.row(f"{row['coverage']:.1%}", 5)[1:4:2] == [f"{row['n']}", f"{row['accuracy']:.2%}"]
    bins = [row for row in page.rows if len(row) == 5 and re.fullmatch(r"[\d.]+% to [\d.]+%", row[0])]
    plain = findings.report.at_temperature(1.0)
    assert [int(row[1]) for row in bins] == [
        each.n for report in (plain, findings.report) for each in report.reliability
    ]


def test_factors_give_slices_and_a_heat_map(findings):
    page = Page(report_page(findings))
    assert findings.accuracy_by_factor.keys() >= {"class", "size", "contrast"}
    assert "fill" not in findings.accuracy_by_factor  # all are filled
    for rows in findings.accuracy_by_factor.values():
        for row in rows:
            assert f"{row.accuracy:.2%}" in {
                cells[2] for cells in page.rows if cells[0] == row.name and len(cells) == 5
            }
    down, across = findings.most_telling
    assert f"Accuracy by {down} and {across}" in page.text
    assert "Corruptions" not in page.text


def test_a_weak_slice_is_named_among_the_limits(findings):
    outlined = np.arange(findings.report.n) % 10 == 0  # just those whose labels are wrong
    weak = dataclasses.replace(findings, factors={"fill": np.where(outlined, "outlined", "filled")})
    assert weak.slices[0].name == "fill outlined"
    assert any("fill outlined" in limit for limit in weak.limits)
    page = Page(report_page(weak))
    assert page.row("fill outlined", 6)[1:3] == [str(outlined.sum()), str((~findings.report.hits[outlined]).sum())]


def test_slices_and_factors_of_grouped_images_have_the_intervals_of_groups(findings):
    kinds = {"fill": np.where(np.arange(findings.report.n) % 10 == 0, "outlined", "filled")}
    alone = dataclasses.replace(findings, factors=kinds)
    groups = np.arange(findings.report.n) // 20
    grouped = dataclasses.replace(alone, report=dataclasses.replace(findings.report, groups=groups))
    assert ["fewer independent ones" in report_page(each) for each in (alone, grouped)] == [False, True]
    assert alone.slices[0].p_value < grouped.slices[0].p_value
    inside = kinds["fill"] == "outlined"
    wanted = accuracy_interval(findings.report.hits[inside], groups[inside])
    assert grouped.slices[0].accuracy_interval == grouped.accuracy_by_factor["fill"][1].accuracy_interval == wanted
    assert wanted != alone.slices[0].accuracy_interval


@pytest.mark.slow
def test_sources_that_know_no_factors_are_tried_under_corruptions(classifier):
    source = Undescribed(seed=3, image_size=32, class_names=classifier.class_names, sizes=(9, 9, 90))
    found = examine(classifier, source, evaluate(classifier, source))
    page = Page(report_page(found))
    for kind in CORRUPTIONS:
        accuracies = [found.corruptions[0].accuracy, *(row.accuracy for row in found.corruptions if row.kind == kind)]
        assert page.row(kind, 7)[1:] == [f"{accuracy:.1%}" for accuracy in accuracies]
        assert page.text.count(kind.capitalize()) == 1  # its diagram
    assert "Slices" not in page.text
    assert "Shapes that nobody knows more of." in page.text
    assert "Reproduce" not in page.text  # nobody told by which command


def test_limits_name_the_worst_severity_of_the_worst_three_corruptions(findings):
    rows = [CorruptedAccuracy("none", 0, 100, 99, 0.99, (0.9, 1.0))]
    rows += [
        CorruptedAccuracy(kind, severity, 100, 0, (90 - 10 * place - severity) / 100, (0.0, 1.0))
        for place, kind in enumerate(CORRUPTIONS)
        for severity in range(1, 6)
    ]
    (limit,) = [each for each in dataclasses.replace(findings, corruptions=rows).limits if "hurt most" in each]
    a, b, c = list(CORRUPTIONS)[-1:-4:-1]
    assert f"35.0% with {a} of severity 5, 45.0% with {b} of severity 5, 55.0% with {c} of severity 5; 99.0%" in limit


def test_limits_tell_how_many_images_depend_on_earlier_splits(findings):
    n = findings.report.n
    assert not [each for each in findings.limits if "earlier splits" in each]
    (some,) = [each for each in dataclasses.replace(findings, leaked=np.arange(n) < 5).limits if "earlier" in each]
    assert some.startswith("5 of the images have copies, or images of their group, in earlier splits. Without these")
    assert f"(n = {n - 5:,})" in some
    (every,) = [each for each in dataclasses.replace(findings, leaked=np.full(n, True)).limits if "earlier" in each]
    assert every.startswith("All of the images have copies")
    assert "the accuracy on new images is not known" in every


def test_the_hardest_examples_are_shown_with_their_images(findings, source):
    page, hardest = Page(report_page(findings)), findings.hardest
    assert len(hardest) == HARDEST
    assert [each.loss for each in hardest] == sorted((each.loss for each in hardest), reverse=True)
    np.testing.assert_array_equal(hardest[0].image, source.example("evaluation", int(hardest[0].name.split()[1]))[0])
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == HARDEST
    assert all(picture.startswith("data:image/png;base64,iVBOR") for picture in pictures)


def test_predicting_finds_the_same_hardest_examples_in_a_stream(classifier, source, tmp_path):
    images, labels = source.examples("evaluation", range(201))
    samples = (Sample(f"evaluation {i}", int(labels[i]), images[i]) for i in range(201))
    streamed = predict_samples(classifier, samples, tmp_path).hardest
    whole = examine(classifier, source, evaluate(classifier, source)).hardest
    assert [each.name for each in streamed] == [each.name for each in whole]
    assert [each[2:4] for each in streamed] == [each[2:4] for each in whole]
    np.testing.assert_allclose([each.loss for each in streamed], [each.loss for each in whole], rtol=1e-9)


HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}\u202e\n</style>")


def test_hostile_names_are_text_and_no_more(findings):
    hostile = dataclasses.replace(
        findings,
        classifier=dataclasses.replace(findings.classifier, class_names=HOSTILE),
        report=dataclasses.replace(findings.report, class_names=HOSTILE),
        hardest=[Example("<script>\udcff.png", np.zeros((300, 400, 3), np.uint8), *HOSTILE[:2], 0.5, 1.0)],
        factors={"class": np.array(HOSTILE)[findings.report.labels], **findings.factors},
        command="python x.py '<script>'",
    )
    text = report_page(hostile)
    page = Page(text)
    assert "<script" not in text
    assert HOSTILE[0] in page.text
    assert "{{ 7 * 7 }}\\u202e\\n</style>" in page.text
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert len([each for each in page.attributes if each[:2] == ("img", "src")]) == 1
    text.encode()


def test_the_page_needs_nothing_from_elsewhere(findings):
    text = report_page(findings)
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    for tag, name, value in Page(text).attributes:
        assert tag not in ("script", "link", "iframe", "object")
        if name in ("src", "href"):
            assert value.startswith(("data:image/png;base64,", "#"))


def test_headings_are_in_order_and_links_lead_somewhere(findings):
    page = Page(report_page(findings))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    links = {value[1:] for _, name, value in page.attributes if name == "href"}
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert links == set(ids)
    assert len(ids) == len(set(ids))


def test_without_labels_the_page_has_the_model_card_alone(classifier, tmp_path):
    findings = Findings(classifier=classifier, images=3, unreadable=1, report=None, hardest=[])
    (tmp_path / "metrics.json").write_text("of earlier images")
    write_findings(findings, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not (tmp_path / "metrics.json").exists()
    assert "no metrics" in " ".join(page.text)
    assert "Model card" in page.text
    assert "Metrics" not in page.text


def test_one_image_and_classes_that_never_occur_are_no_trouble(classifier, source, tmp_path):
    image, label = source.example("evaluation", 0)
    findings = predict_samples(classifier, iter([Sample("0.png", label, image)]), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["n"] == findings.report.n == 1
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).row("star", 7)[5] == "-"


@pytest.mark.parametrize(
    "metrics", [{}, {"validation": 3, "evaluation": []}, {"validation": {"validation_accuracy": "<b>"}}]
)
def test_whatever_a_model_files_metrics_hold_is_no_trouble(classifier, metrics):
    odd = dataclasses.replace(classifier, metrics=metrics)
    page = Page(report_page(Findings(classifier=odd, images=1, report=None, hardest=[])))
    assert "Validation accuracy" not in page.text


def test_parameters_are_counted_however_a_network_nests_them(source):
    """Those of modules in modules, and of the network itself, which is in no module."""
    inside = {"Dense_0": {"kernel": np.zeros((6, 4)), "bias": np.zeros(4)}}
    params = {"Block_0": inside, "weights": np.zeros((3, 5)), "scales": (np.zeros(2), np.float32(1))}
    model = Linear(len(source.class_names))
    network = Classifier(model, {"params": params}, source.class_names, source.image_shape)
    page = Page(report_page(Findings(classifier=network, images=1, report=None, hardest=[])))
    after = [text.strip() for text in page.text[page.text.index("Parameters") + 1 :]]
    assert next(filter(None, after)) == "46"


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["nowhere", "not allowed", "whole", "damaged", "cut short"])
def test_the_page_is_the_same_wherever_its_compiled_template_is(findings, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_COMPILED", tmp_path / "compiled")
    monkeypatch.setattr(sys, "dont_write_bytecode", kept == "not allowed")
    without = report_page(findings)  # there is no such folder yet
    if kept != "nowhere":
        page._COMPILED.mkdir()
        report_page(findings)
    files = sorted(tmp_path.rglob("*.jinja"))
    assert bool(files) == (kept in ("whole", "damaged", "cut short"))
    for file in files if kept != "whole" else []:
        file.write_bytes(b"?" * 100 if kept == "damaged" else file.read_bytes()[:40])
    assert report_page(findings) == without


class Films(Undescribed):
    """Shapes of which eight each are frames of one film."""

    def groups_of(self, split):
        return np.arange(self.size(split)) // 8


@pytest.mark.slow
def test_a_page_gives_one_interval_for_the_accuracy_of_groups(classifier):
    films = Films(seed=3, image_size=32, class_names=classifier.class_names, sizes=(8, 8, 48))
    report = evaluate(classifier, films)
    right = np.arange(48) < 32  # all frames of four films, none of two
    wrong_of_two = dataclasses.replace(report, labels=np.where(right, report.predictions, (report.predictions + 1) % 3))
    found = dataclasses.replace(examine(classifier, films, report), report=wrong_of_two)
    low, high = found.report.accuracy_interval
    assert high - low > 0.5
    assert Page(report_page(found)).row("100.0%", 5)[4] == f"{low:.2%} to {high:.2%}"
    assert found.corruptions[0].accuracy_interval == report.accuracy_interval
