"""From files on disk to rows of `predictions.csv`."""

import csv
import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ai_library import InputError, Report, evaluate
from ai_library.data.folders.samples import Sample, read_samples
from ai_library.evaluation.metrics import accuracy_interval
from ai_library.reporting.predictions import predict_samples
from ai_library.tests.memory import peak_bytes
from ai_library.tests.model_files import small_classifier

N = 70  # more than a block
RESULTS = {"predictions.csv", "confusion_matrix.png", "metrics.json", "report.html"}


@pytest.fixture
def folder(source, tmp_path):
    """The first evaluation images as PNG files in sub-folders named like their classes."""
    images, labels = source.examples("evaluation", range(N))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "images" / source.class_names[label] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path)
    return tmp_path / "images"


def test_images_in_sub_folders_of_classes_widen_the_intervals(classifier, source, folder, tmp_path):
    for path in sorted(folder.glob("*/*.png")):
        film = path.parent / str(int(path.stem) % 2)
        film.mkdir(exist_ok=True)
        path.rename(film / path.name)
    report, alone = (
        predict_samples(classifier, read_samples(folder, classifier, groups=groups), tmp_path / "out").report
        for groups in (True, False)
    )
    groups = np.unique([str(path.parent) for path in sorted(folder.glob("*/*/*.png"))], return_inverse=True)[1]
    assert report.accuracy_interval == accuracy_interval(report.hits, groups) != alone.accuracy_interval
    assert alone.accuracy_interval == accuracy_interval(alone.hits)


def predicted(classifier, data, output):
    outcome = predict_samples(classifier, read_samples(data, classifier), output)
    with open(output / "predictions.csv", newline="", encoding="utf-8") as file:
        return outcome, list(csv.DictReader(file))


def test_a_labelled_folder_gives_the_figures_of_evaluate(classifier, source, folder, tmp_path):
    outcome, rows = predicted(classifier, folder, tmp_path / "out")
    images, labels = source.examples("evaluation", range(N))
    wanted = classifier.predict_proba(images)
    assert outcome.images == outcome.report.n == len(rows) == N
    for row in rows:
        index = int(row["file"].split("/")[1].removesuffix(".png"))
        assert row["label"] == source.class_names[labels[index]]
        assert row["prediction"] == source.class_names[wanted[index].argmax()]
        np.testing.assert_allclose([float(row[name]) for name in source.class_names], wanted[index], atol=2e-6)
        assert float(row["confidence"]) == pytest.approx(wanted[index].max(), abs=2e-6)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["accuracy"] == (wanted.argmax(1) == labels).mean()
    with Image.open(tmp_path / "out/confusion_matrix.png") as picture:
        assert picture.size[0] > 200
    assert f"{metrics['accuracy']:.2%}" in (tmp_path / "out/report.html").read_text()


def test_classes_may_be_called_like_a_column(classifier, folder, tmp_path):
    named = dataclasses.replace(classifier, class_names=("error", "label", "file"))
    _, rows = predicted(named, folder / "circle", tmp_path / "out")
    for row in rows:
        assert row["error"] == row["label"] == ""
        assert float(row["confidence"]) == max(float(row[f"probability of {name}"]) for name in named.class_names)


def test_names_that_are_no_utf_8_and_hidden_files_do_no_harm(classifier, folder, tmp_path):
    image = (folder / "circle/000.png").read_bytes()
    (folder / "circle/._000.png").write_bytes(b"left behind by another program")
    with open(bytes(folder / "circle") + b"/\xff.png", "wb") as file:
        file.write(image)
    outcome, rows = predicted(classifier, folder, tmp_path / "out")
    assert (outcome.images, outcome.unreadable) == (N + 1, 0)
    assert "circle/\\udcff.png" in {row["file"] for row in rows}


def test_npz_gives_the_same_as_evaluate(classifier, source, tmp_path):
    images, labels = source.examples("evaluation", range(source.size("evaluation")))
    np.savez(tmp_path / "data.npz", images=images.squeeze(-1), labels=labels)
    outcome, rows = predicted(classifier, tmp_path / "data.npz", tmp_path / "out")
    assert outcome.report.metrics() == evaluate(classifier, source).metrics()
    assert [row["file"] for row in rows] == [str(index) for index in range(len(labels))]


def test_unlabelled_images_get_no_metrics_and_older_ones_are_removed(classifier, source, folder, tmp_path):
    predicted(classifier, folder, tmp_path / "out")
    np.savez(tmp_path / "data.npz", images=source.examples("evaluation", range(5))[0])
    outcome, rows = predicted(classifier, tmp_path / "data.npz", tmp_path / "out")
    assert outcome.report is None
    assert {row["label"] for row in rows} == {""}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.csv", "report.html"}


def test_a_single_file_is_predicted(classifier, folder, tmp_path):
    outcome, rows = predicted(classifier, folder / "circle/000.png", tmp_path / "out")
    assert outcome.images == 1
    assert rows[0]["prediction"] in classifier.class_names


def test_an_unreadable_image_is_a_row_and_the_run_goes_on(classifier, folder, tmp_path):
    (folder / "circle/000.png").write_bytes((folder / "circle/000.png").read_bytes()[:60])
    (folder / "star/text.png").write_text("not an image at all")
    (folder / "star/empty.png").write_bytes(b"")
    outcome, rows = predicted(classifier, folder, tmp_path / "out")
    errors = {row["file"]: row["error"] for row in rows if row["error"]}
    assert outcome.images == N + 2
    assert outcome.unreadable == 3
    assert outcome.report.n == N - 1
    assert errors.keys() == {"circle/000.png", "star/empty.png", "star/text.png"}
    assert errors["star/text.png"] == "not an image, or of an unknown format"
    assert "cannot be read" in errors["circle/000.png"]
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("readable", [0, 1, 255, 256, 300])
def test_every_row_is_its_own_image_s_wherever_unreadable_ones_stand(classifier, source, tmp_path, readable):
    images = np.concatenate([source.examples("evaluation", range(150))[0]] * 2)[:readable]
    logits = [np.zeros((0, len(classifier.class_names))), *classifier.predict_logits([images], by_onnx="many")]
    wanted = classifier.probabilities(np.concatenate(logits))
    np.testing.assert_allclose(wanted, classifier.predict_proba(images), rtol=0, atol=1e-5)
    samples = [Sample(f"{i}", None, image) for i, image in enumerate(images)]
    for place in (0, 64, 65, 200, readable):
        samples.insert(place, Sample("broken", None, None, "cannot be read"))
    samples += [Sample("broken", None, None, "cannot be read")] * 70
    outcome = predict_samples(classifier, iter(samples), tmp_path)
    assert (outcome.images, outcome.unreadable) == (readable + 75, 75)
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [sample.name for sample in samples]
    for row in rows:
        if row["error"]:
            assert (row["file"], row["prediction"]) == ("broken", "")
        else:
            found = [float(row[name]) for name in classifier.class_names]
            np.testing.assert_allclose(found, wanted[int(row["file"])], rtol=0, atol=6e-7)


def test_odd_names_and_broken_files_are_rows_of_their_own(classifier, source, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    good = ["a,b.png", 'a"b.png', "a\nb.png", "a\r\nb.png", "=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "\t=1.png"]
    for name in good:
        Image.fromarray(source.example("evaluation", 0)[0].squeeze()).save(folder / name)
    (folder / "empty.png").write_bytes(b"")
    (folder / "broken.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    _, rows = predicted(classifier, folder, tmp_path / "out")
    wanted = ["a,b.png", 'a"b.png', "a\\nb.png", "a\\r\\nb.png", "'=1+1.png", "'+1.png", "'-1.png", "'@SUM(1).png"]
    assert {row["file"] for row in rows if row["prediction"]} == {*wanted, "\\t=1.png"}
    assert {row["file"] for row in rows if row["error"]} == {"empty.png", "broken.png", "pipe.png"}
    assert len(rows) == 12


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
starts = st.sampled_from(["", *SIGNS, *"\t\r\n; ,"])
text = st.builds("{}{}".format, starts, st.text(st.characters(exclude_categories=())))


@pytest.mark.slow
@given(
    st.lists(st.tuples(text, st.integers(0, 2) | st.none(), text), min_size=1, max_size=5),
    st.lists(text, min_size=3, max_size=3, unique=True),
)
@settings(deadline=None, max_examples=60)
def test_whatever_names_hold_a_row_is_a_line_and_no_cell_a_formula(classifier, tmp_path_factory, samples, class_names):
    output = tmp_path_factory.getbasetemp() / "odd names"
    odd = dataclasses.replace(classifier, class_names=tuple(class_names))
    predict_samples(odd, [Sample(name, label, None, error) for name, label, error in samples], output)
    table = (output / "predictions.csv").read_bytes().decode()
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert len(rows) == len(table.splitlines()) == len(samples) + 1
    assert {len(row) for row in rows} == {4 + 3 + 1}
    assert not [cell for row in rows for cell in row if cell.strip(" ").startswith((*SIGNS, "\t", "\r", "\n"))]
    for separator in (";", "\t", "|"):  # a spreadsheet takes that of its user's language
        cells = [cell for row in csv.reader(io.StringIO(table, newline=""), delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.strip("\"' ").startswith((*SIGNS,)) and not cell.startswith("'")]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [4000, 16_384])
def test_an_image_of_one_of_many_classes_takes_little_memory_and_room(tmp_path, classes):
    many = small_classifier([f"class {i}" for i in range(classes)])
    samples = [Sample("0", classes - 1, np.zeros((16, 16, 1), np.uint8))]
    kept = []
    assert peak_bytes(lambda: kept.append(predict_samples(many, samples, tmp_path))) < 200e6
    findings = kept[-1]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["per_class"][f"class {classes - 1}"]["support"] == 1
    assert findings.report.n == metrics["n"] == 1
    assert "metrics.json</code>" in (tmp_path / "report.html").read_text()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 7e6


def test_a_damaged_archive_leaves_no_half_written_table(classifier, source, tmp_path):
    np.savez(tmp_path / "data.npz", images=source.examples("evaluation", range(N))[0])
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[5_000] ^= 1
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(InputError, match="data.npz cannot be read as .npz: Bad CRC-32"):
        predicted(classifier, tmp_path / "data.npz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def contents(output):
    return {path.name: path.read_bytes() for path in output.iterdir()}


def some(source, n=3, labelled=True):
    """Samples out of the source."""
    images, labels = source.examples("evaluation", range(n))
    return [Sample(f"{i}", int(labels[i]) if labelled else None, images[i]) for i in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["confusion_figure", "metrics", "coverage_curve"])
def test_an_error_at_the_end_leaves_all_of_the_earlier_results(classifier, source, tmp_path, monkeypatch, fails):
    def failing(*_):
        raise InputError("an error at the end")

    predict_samples(classifier, some(source), tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(Report, fails, failing)
    with pytest.raises(InputError, match="an error at the end"):
        predict_samples(classifier, some(source, n=7), tmp_path)
    assert contents(tmp_path) == before
    assert before.keys() == RESULTS


def test_a_second_prediction_into_the_folder_is_refused_meanwhile(classifier, source, tmp_path):
    def samples():
        yield from some(source)
        with pytest.raises(InputError, match="another process writes into .*: wait for its end, or choose another"):
            predict_samples(classifier, some(source, labelled=False), tmp_path)

    predict_samples(classifier, samples(), tmp_path)
    assert contents(tmp_path).keys() == RESULTS
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 4


def test_results_do_not_go_into_a_folder_that_took_the_place_of_the_one_they_were_for(classifier, source, tmp_path):
    def samples():
        yield from some(source)
        shutil.rmtree(tmp_path / "out")
        predict_samples(classifier, some(source, labelled=False), tmp_path / "out")

    with pytest.raises(InputError, match="out was removed, moved or replaced while this process wrote into it"):
        predict_samples(classifier, samples(), tmp_path / "out")
    assert contents(tmp_path / "out").keys() == {"predictions.csv", "report.html"}


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_an_old_result_that_cannot_be_replaced_is_named_before_an_image_is_read(classifier, tmp_path, name):
    def samples():
        pytest.fail("an image was asked for")
        yield

    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"cannot write .*{name}: it is a folder; choose a place"):
        predict_samples(classifier, samples(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
