"""From files on disk to rows of `predictions.csv`."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from ai_library import InputError, evaluate
from ai_library.prediction import predict_samples, read_samples

N = 70  # more than a block


@pytest.fixture
def folder(source, tmp_path):
    """The first evaluation images as PNG files in sub-folders named like their classes."""
    images, labels = source.examples("evaluation", range(N))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "images" / source.class_names[label] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path)
    return tmp_path / "images"


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


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((1, 32, 32), np.uint8)}, "has no array 'images'"),
        ({"images": np.zeros((1, 32, 32), np.float32)}, "float32: they need to be"),
        ({"images": np.zeros((32, 32), np.uint8)}, "they need to be"),
        ({"images": np.zeros((0, 32, 32), np.uint8)}, "holds no images"),
        ({"images": np.zeros((2, 32, 32), np.uint8), "labels": np.array([0])}, r"\(2,\) of integers"),
        ({"images": np.zeros((2, 32, 32), np.uint8), "labels": np.array([0, 7])}, "labels from 0 to 7, but this model"),
        ({"images": np.array([{}], dtype=object)}, "cannot be read as .npz"),
        (b"PK\x03\x04 not an archive", "cannot be read as .npz"),
        (b"\x93NUMPY\x01\x00", "cannot be read as .npz"),
    ],
)
def test_arrays_that_do_not_fit_are_named(classifier, tmp_path, arrays, message):
    if isinstance(arrays, bytes):
        (tmp_path / "data.npz").write_bytes(arrays)
    else:
        np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_samples(tmp_path / "data.npz", classifier)


def test_folders_that_do_not_fit_are_named(classifier, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no images"):
        read_samples(tmp_path / "empty", classifier)
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_samples(tmp_path / "nowhere", classifier)
    (folder / "star").rename(folder / "cat")
    with pytest.raises(InputError, match="sub-folder 'cat', but this model's classes are circle, rectangle, star"):
        read_samples(folder, classifier)
