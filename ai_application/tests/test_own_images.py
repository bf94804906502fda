"""What the commands do with a user's own images: broken ones, ones without labels, and what is no image."""

import csv
import re
import sys

import numpy as np
import pytest
from PIL import Image

from ai_application.commands import predict, train_folder
from ai_library import save_model
from ai_library.tests.model_files import small_classifier
from ai_library.tests.processes import without_progress


@pytest.fixture
def folder(tmp_path):
    """Two classes of 40 images, of which some of both are broken."""
    for index in range(80):
        path = tmp_path / "data" / ("cat", "dog")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 3 * index).save(path)
        if index % 16 < 2:
            path.write_bytes(path.read_bytes()[:40])
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command; gives its status, output and errors."""

    def run(command, *arguments):
        monkeypatch.setattr(sys, "argv", ["command.py", *map(str, arguments)])
        status, (output, errors) = command.main(), capsys.readouterr()
        return status, output, without_progress(errors)

    return run


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_broken_images_are_in_one_message_and_in_a_list(folder, tmp_path, run):
    status, _, errors = run(train_folder, folder, "--run-dir", tmp_path / "run")
    assert status == 1
    assert errors.startswith("error: 10 of 80 images cannot be used: ")
    assert "or leave them out with --skip-broken" in errors
    assert errors.count("\n") == 1
    listed = rows(tmp_path / "run/unreadable.csv")
    assert len(listed) == 10
    assert all(row["file"] in errors and row["error"] in errors for row in listed)


def test_broken_images_are_left_out_on_demand_and_counted(folder, tmp_path, run, monkeypatch):
    trained = []
    monkeypatch.setattr(train_folder, "train_and_save", lambda *given, **later: trained.append((given, later)))
    status, output, errors = run(train_folder, folder, "--skip-broken", "--run-dir", tmp_path / "run")
    assert (status, errors) == (0, "")
    assert "data/cat/0.png" in output
    ((_, source, _, lists), later) = trained[0]
    assert sum(source.size(split) for split in source.splits) == 70
    assert len(lists["unreadable.csv"]) == 11  # with the names of its columns
    assert 10 <= later["patience"] < later["epochs"] / 3


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "m.msgpack", small_classifier(("cat", "dog")))
    return tmp_path / "m.msgpack"


def test_nested_folders_without_labels_are_predicted_by_the_option_that_the_error_names(folder, tmp_path, model, run):
    (folder / "cat").rename(folder / "2024-01")
    arguments = ["--model", model, "--data", folder, "--output", tmp_path / "out"]
    status, _, errors = run(predict, *arguments)
    assert status == 1
    assert "or predict the images without labels with --unlabelled" in errors
    status, output, _ = run(predict, *arguments, "--unlabelled")
    assert status == 0
    assert re.search("80 images predicted.*, 10 of them unreadable", output)
    found = rows(tmp_path / "out/predictions.csv")
    assert len(found) == 80
    assert {row["label"] for row in found} == {""}
    assert not (tmp_path / "out/metrics.json").exists()


def test_what_was_done_to_read_images_is_told(tmp_path, model, run):
    (tmp_path / "photos").mkdir()
    for index in range(3):
        values = np.linspace(0, 4095, 16 * 16).reshape(16, 16).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"photos/{index}.png")
    status, output, _ = run(predict, "--model", model, "--data", tmp_path / "photos", "--output", tmp_path / "out")
    assert status == 0
    assert "3 images: of more than 8 bits: scaled by the range of levels that it uses" in output


def test_the_reason_why_nothing_could_be_read_is_in_the_error(tmp_path, model, run):
    (tmp_path / "page.png").write_text("<!DOCTYPE html><title>not found</title>")
    status, _, errors = run(predict, "--model", model, "--data", tmp_path / "page.png", "--output", tmp_path / "out")
    assert status == 1
    assert "page.png not an image of a format that is read: a web page" in errors
