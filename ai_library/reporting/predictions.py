"""Predicts images and writes the results: one row per image, and metrics if labels are known."""

import collections
import csv
import hashlib
import heapq
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..data.folders.samples import Sample, group_numbers
from ..evaluation.figures import png_of
from ..evaluation.report import Report
from ..files.text import as_cell
from ..networks.classifier import Classifier
from ..runtime.agreement import check_alike, code_version
from ..runtime.distributed import all_gather, is_first
from .findings import HARDEST, Example, Findings
from .page import findings_files
from .results import PICTURE, results

_TOGETHER = 16
"""Images that are handed on at a time."""


def predict_samples(
    classifier: Classifier, samples: Iterable[Sample], output: str | Path, command: str = ""
) -> Findings:
    """Predicts samples, and writes the results into the folder `output`.

    The files are `predictions.csv` and `report.html`, and, if any image has a label, `metrics.json` and
    `confusion_matrix.png`. They replace earlier ones together, at the end. Memory: a few blocks of images, the hardest
    images, and the logits of labelled images. The page names `command` as the command that made it.

    Of several processes, each predicts its own samples, and the first joins their rows in `predictions.csv`. All return
    the findings on all images.

    Raises `InputError` if the folder cannot be written to or another process writes there, and, in every process, if
    they do not all have the same model, code and folder.
    """
    check_alike(lambda: {"model": _digest(classifier), "code": code_version(type(classifier.model))})
    with results(Path(output)) as (rows, finish):
        findings = _predicted_findings(classifier, samples, rows, command)
        finish(lambda: _files(findings))
    return findings


def _predicted_findings(classifier, samples, rows, command):
    """Predicts the samples of this process, writes their rows, and returns the findings of all processes."""
    names, cells = classifier.class_names, [*map(as_cell, classifier.class_names)]
    remarks, fault = collections.Counter(), ""
    images, unreadable, labels, groups, hardest = 0, 0, [], [], []
    logits = [np.zeros((0, len(names)), np.float32)]
    table = csv.writer(rows, lineterminator="\n")
    if is_first():
        table.writerow(_columns(cells))
    for block, block_logits in _predicted(classifier, samples):
        predicted = classifier.probabilities(block_logits)
        readable = [sample for sample in block if sample.image is not None]
        found = _cells(predicted, cells)
        for sample in block:
            if sample.remarks:
                remarks.update(sample.remarks)
            fault = fault or (f"{sample.name} {sample.error}" if sample.error else "")
            label = "" if sample.label is None else cells[sample.label]
            more = next(found) if sample.image is not None else [*[""] * (2 + len(cells)), as_cell(sample.error)]
            table.writerow([as_cell(sample.name), label, *more])
        labelled = [row for row, sample in enumerate(readable) if sample.label is not None]
        labels += [readable[row].label for row in labelled]
        groups += [group and _as_bytes(group) for group in (readable[row].group for row in labelled)]
        logits.append(block_logits[labelled])
        examples = [_example(readable[row], predicted[row], names) for row in labelled]
        hardest = heapq.nlargest(HARDEST, [*hardest, *examples], key=lambda example: example.loss)
        images, unreadable = images + len(block), unreadable + len(block) - len(readable)
    hardest = [[_as_bytes(name), *rest] for name, *rest in hardest]
    told = [dict(remarks), _as_bytes(fault)]
    own = [images, unreadable, np.array(labels, np.int64), groups, np.concatenate(logits), hardest, *told]
    images, unreadable, labels, groups, logits, hardest, remarks, faults = zip(*all_gather(own), strict=True)
    labels = np.concatenate(labels)
    report = None
    if len(labels):
        probabilities = classifier.probabilities(np.concatenate(logits))
        del own, logits  # they take most of the memory
        numbers = group_numbers([*itertools.chain(*groups)])
        report = Report(probabilities, labels, names, classifier.temperature, numbers)
    hardest = [Example(_as_text(name), *rest) for name, *rest in itertools.chain(*hardest)]
    return Findings(
        classifier=classifier,
        images=sum(images),
        unreadable=sum(unreadable),
        fault=next(filter(None, map(_as_text, faults)), ""),
        remarks=dict(sum(map(collections.Counter, remarks), collections.Counter())),
        report=report,
        hardest=heapq.nlargest(HARDEST, hardest, key=lambda example: example.loss),
        command=command,
    )


def _columns(names):
    """The names of the columns; a class may be called like one of them."""
    before, after = ["file", "label", "prediction", "confidence"], ["error"]
    if not {*before, *after}.isdisjoint(names):
        names = [f"probability of {name}" for name in names]
    return [*before, *names, *after]


def _as_bytes(text):
    """A text, which need not be valid Unicode where it has the name of a file, for other processes."""
    return text.encode("utf-8", "surrogatepass")


def _as_text(content):
    return content.decode("utf-8", "surrogatepass")


def _digest(classifier):
    """A digest of a model."""
    from ..networks.network import settings_of  # a single process need not wait for it
    from ..networks.transfer import digest

    described = (
        *(type(classifier.model).__name__, settings_of(classifier.model), classifier.class_names),
        *(classifier.image_shape, classifier.content_size, classifier.temperature),
    )
    text = repr((*described, digest(classifier.variables)))
    return hashlib.sha256(_as_bytes(text)).hexdigest()[:16]


def _files(findings):
    """The contents of all files but `predictions.csv`, by name."""
    files = findings_files(findings)
    if findings.report:
        files[PICTURE] = png_of(findings.report.confusion_figure())
    return files


def _example(sample, probabilities, class_names):
    """An example with a copy of its image: the original may be a view that keeps a large block in memory."""
    best, true = int(np.argmax(probabilities)), probabilities[sample.label]
    loss = -math.log(max(true, np.finfo(float).eps))  # as `Report.losses` has it
    return Example(
        sample.name, sample.image.copy(), class_names[sample.label], class_names[best], float(probabilities[best]), loss
    )


def _predicted(classifier, samples):
    """Yields all samples in blocks, with the logits (n, classes) float32 of those that have an image."""
    waiting = collections.deque()

    def images():
        readable = (sample.image for sample in map(kept, samples) if sample.image is not None)
        while part := list(itertools.islice(readable, _TOGETHER)):
            yield np.stack(part)

    def kept(sample):
        waiting.append(sample)
        return sample

    for logits in classifier.predict_logits(images(), shared=True, by_onnx="many"):
        block, readable = [], 0
        while readable < len(logits):
            block.append(waiting.popleft())
            readable += block[-1].image is not None
        yield block, logits
    yield waiting, np.zeros((0, len(classifier.class_names)), np.float32)  # unreadable ones after the last image


def _cells(probabilities, names):
    """Yields what a row of `predictions.csv` has of an image's probabilities, for each image."""
    for best, numbers in zip(probabilities.argmax(axis=1).tolist(), probabilities.tolist(), strict=True):
        texts = [f"{number:.6f}" for number in numbers]
        yield [names[best], texts[best], *texts, ""]
