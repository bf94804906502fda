"""study.py: conditions out of the arguments that train, several seeds each, and what is printed about them."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from ai_application import training_run
from ai_application.commands import study
from ai_application.configs import MNIST_RECIPES
from ai_library.laboratory.results import StudyResults
from ai_library.tests import own_networks

DATA = ["--image-size", "16", "--sizes", "32", "16", "24", "--class-names", "star", "cross"]
SMALL = [*DATA, "--network", f"{own_networks.__file__}:Linear", "--epochs", "1", "--batch-size", "16"]


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch):
    """The process of the tests keeps its devices and its memory: other tests have used them."""
    monkeypatch.setattr(training_run, "share_out_cores", lambda *_: None)
    monkeypatch.setattr(training_run, "keep_freed_memory", lambda: None)


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["scripts/study.py", *map(str, words)])
        status = study.main()
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def studied(monkeypatch):
    """What studies were made of, none of which runs."""
    made = []

    class Made(study.Study):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            made.append(self)

        def run(self, part=(1, 1)):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "study.json").write_text('{"conditions": {}}')
            self.part = part
            return StudyResults(conditions=[*self.conditions], seeds=self.seeds, runs={})

    monkeypatch.setattr(study, "Study", Made)
    return made


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_a_study_of_shapes_leaves_a_table_and_a_page_and_goes_on_by_the_same_command(run, tmp_path):
    command = ["shapes", *SMALL, "--study-dir", tmp_path / "study", "--seeds", 2]
    command += ["--condition", "plain", "--condition", "smoothed", "label-smoothing=0.2"]
    status, output, errors = run(*command, "--part", "1/2")
    assert status == 0, errors
    assert "2 runs of 4 not finished yet" in output
    status, output, errors = run(*command)
    assert status == 0, errors
    assert "smoothed against plain: " in output
    with open(tmp_path / "study/runs.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["condition"], row["seed"], row["n"]) for row in rows] == [
        (name, seed, "24") for name in ("plain", "smoothed") for seed in "01"
    ]
    page = (tmp_path / "study/study.html").read_text()
    assert "differs from plain: train.label_smoothing 0.2, not 0.0" in page
    assert "scripts/study.py shapes" in page
    config = json.loads((tmp_path / "study/runs/smoothed/seed-1/training/config.json").read_text())
    assert (config["train"]["seed"], config["source"]["seed"], config["train"]["label_smoothing"]) == (1, 1, 0.2)
    status, _, errors = run(*command, "--epochs", 2)
    assert status == 1
    assert "plain.train.epochs was 1, is now 2" in errors


@pytest.mark.slow
def test_a_condition_changes_settings_of_training_network_and_data(run, studied, tmp_path):
    changes = ["network=ResNet", "network.features=8,16", "augmentation.shift=2", "class-weights=1,2", "image-size=20"]
    changes += ["ranges.size=0.3,0.4", "optimizer=sgd", "optimizer-arguments=nesterov,True,momentum,0.9"]
    words = ["--condition", "plain", "--condition", "other", *changes, "--condition", "third", "epochs=3"]
    status, _, errors = run("shapes", *DATA, "--epochs", 1, *words, "--study-dir", tmp_path, "--seed", 7, "--seeds", 3)
    assert status == 0, errors
    plain, other, third = studied[0].conditions.values()
    assert studied[0].seeds == [7, 8, 9]
    assert type(other.network).__name__ == "ResNet"
    assert other.network.features == (8, 16)
    assert other.config.augmentation.shift == 2
    assert other.config.class_weights == (1, 2)
    assert other.config.optimizer_arguments == {"nesterov": True, "momentum": 0.9}
    assert other.source(seed=3).image_shape == (20, 20, 1)
    assert other.source(seed=3).settings()["ranges"]["size"] == (0.3, 0.4)
    assert (plain.source(seed=3).seed, plain.config.epochs, third.config.epochs) == (3, 1, 3)
    assert plain.source is third.source  # whose data is then made once
    assert plain.source is not other.source


def test_without_conditions_there_is_one(run, studied, tmp_path):
    status, output, _ = run("shapes", "--study-dir", tmp_path, "--part", "2/3", "--label-smoothing", 0.1)
    assert status == 0
    assert [*studied[0].conditions] == ["default"]
    assert studied[0].conditions["default"].config.label_smoothing == 0.1
    assert len(studied[0].seeds) == 5
    assert studied[0].part == (2, 3)
    assert "5 runs of 5 not finished yet" in output


@pytest.mark.slow
def test_a_folder_is_read_once_for_all_seeds_and_conditions(run, studied, tmp_path):
    for name, value in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(i).integers(value - 30, value + 30, (9, 9), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    words = ["--image-size", 16, "--condition", "a", "--condition", "b", "freeze=0", "label-smoothing=0.3"]
    status, output, errors = run(tmp_path / "images", *words, "--study-dir", tmp_path / "study")
    assert status == 0, errors
    assert output.count("dark      ") == 1  # the table of what was found
    a, b = studied[0].conditions.values()
    one, other = a.source(seed=1), b.source(seed=2)
    assert one.read is other.read
    assert (one.seed, other.seed) == (1, 2)
    assert a.config.epochs > 10  # as many as a small folder needs
    assert b.config.label_smoothing == 0.3


def test_recipes_of_mnist_can_be_conditions(run, studied, tmp_path):
    words = ["--condition", "accurate", "--condition", "fast", "preset=fast", "--condition", "plain", "ema-decay=0"]
    status, _, errors = run("mnist", "--data-dir", tmp_path / "data", *words, "--study-dir", tmp_path / "study")
    assert status == 0, errors
    accurate, fast, plain = studied[0].conditions.values()
    assert (accurate.config, fast.config) == tuple(config for _, config in MNIST_RECIPES.values())
    assert (accurate.network, fast.network) == tuple(network for network, _ in MNIST_RECIPES.values())
    assert plain.config.ema_decay == 0
    assert plain.config.augmentation == accurate.config.augmentation
    assert type(plain.source(seed=4)).__name__ == "MnistDataSource"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--condition", "a", "--condition", "a"], "--condition a must be given once"),
        (["--condition", "a", "epochs"], "followed by SETTING=VALUE, got 'epochs'"),
        (["--condition", "a", "seeds=3"], "must leave seeds to the study"),
        (["--condition", "a", "seed=3"], "use --seed and --seeds"),
        (["--condition", "a/b"], "the name of a condition must be letters"),
        (["--part", "5"], "--part must be I/N, such as 1/4, got '5'"),
        (["--baseline", "a"], "baseline must be one of default, got 'a'"),
    ],
)
def test_what_is_no_study_is_told_in_one_line(run, studied, tmp_path, words, told):
    status, _, errors = run("shapes", *words, "--study-dir", tmp_path)
    assert status == 1
    assert told in errors
    assert errors.count("\n") == 1


def test_a_setting_that_is_unknown_is_told_as_an_argument(run, studied, capsys):
    with pytest.raises(SystemExit) as end:
        run("shapes", "--condition", "a", "learning_rat=1")
    assert end.value.code == 2
    assert "learning" in capsys.readouterr().err
