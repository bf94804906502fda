"""From files on disk to rows of `predictions.csv`."""

import csv
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ai_library import InputError, evaluate
from ai_library.images import fit_image, read_image
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


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_any_mode_is_converted(source, tmp_path, mode):
    image, _ = source.example("evaluation", 1)
    grey = Image.fromarray(image.squeeze())
    if mode == "I;16":
        grey = Image.fromarray(image.squeeze().astype(np.uint16) * 257)
    path = tmp_path / f"image.{'tif' if mode == 'CMYK' else 'png'}"
    (grey if mode == "I;16" else grey.convert(mode)).save(path)
    found = read_image(path, (32, 32, 1))
    tolerance = 255 if mode == "1" else 2  # one bit dithers: only the mean is kept
    assert np.abs(found.astype(int) - image).max() <= tolerance
    assert abs(found.mean() - image.mean()) < 12
    assert read_image(path, (32, 32, 3)).shape == (32, 32, 3)


@pytest.mark.parametrize(("mode", "factor"), [("I", 1), ("I", 256), ("I;16", 256)])
def test_more_than_8_bits_are_scaled_not_cut_off(tmp_path, mode, factor):
    values = np.tile(np.arange(0, 256, 8), (32, 1)) * factor
    Image.fromarray(values.astype(np.int32 if mode == "I" else np.uint16)).save(tmp_path / "deep.tif")
    np.testing.assert_allclose(read_image(tmp_path / "deep.tif", (32, 32, 1))[..., 0], values // factor, atol=1)


def test_values_without_a_scale_are_refused(tmp_path):
    Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="no known scale; save it with 8 bits"):
        read_image(tmp_path / "float.tif", (32, 32, 1))


def test_long_thin_images_need_no_more_memory_than_they_have(tmp_path):
    Image.new("RGB", (1, 60_000), "white").save(tmp_path / "thin.png")
    tracemalloc.start()
    assert read_image(tmp_path / "thin.png", (64, 64, 3)).shape == (64, 64, 3)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def framed(pixels):
    return fit_image(pixels, (28, 28, 1), content_size=20)[..., 0]


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (230, 40), (20, 150)])
def test_content_of_either_polarity_is_cut_out_scaled_and_centred(paper, ink):
    pixels = np.full((150, 200), paper, np.uint8)
    pixels[90:140, 10:30] = ink
    found = framed(pixels)
    rows, columns = (np.flatnonzero((found > 127).any(axis)) for axis in (1, 0))
    assert (len(rows), len(columns)) == (20, 8)
    assert abs((rows[0] + rows[-1]) / 2 - 13.5) <= 0.5
    assert abs((columns[0] + columns[-1]) / 2 - 13.5) <= 0.5
    assert found[0, 0] == 0
    assert found.max() >= 250


def test_content_of_the_right_size_is_left_where_it_is():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[3:9, 2:6] = 200
    np.testing.assert_array_equal(framed(pixels), pixels)
    np.testing.assert_array_equal(framed(255 - pixels), pixels)


def test_pages_with_nothing_or_specks_on_them_are_black():
    page = np.full((1500, 1500), 255, np.uint8)
    assert framed(page).max() == 0
    page[0, 0] = page[-1, -1] = 0
    assert framed(page).max() < 30


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png", (32, 32, 1)) == 255).all()


def test_other_proportions_are_padded_not_stretched():
    wide = np.full((20, 60), 200, np.uint8)
    wide[5:15, 25:35] = 0  # a square
    fitted = fit_image(wide, (60, 60, 1))[..., 0]
    assert (fitted[:20] == 200).all()
    assert (fitted[-20:] == 200).all()
    assert (fitted[25:35, 25:35] == 0).all()


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
