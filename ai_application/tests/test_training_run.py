"""What a training leaves in its run's folder belongs together."""

import numpy as np
import pytest

from ai_application import training_run
from ai_application.configs import FOLDER_RECIPE, MNIST_RECIPES
from ai_application.training_arguments import TrainingArguments
from ai_library import CNN, ArrayDataSource, Augmentation, InputError, TrainConfig, load_model

pytestmark = pytest.mark.usefixtures("quickly_compiled")

FILES = ("model.msgpack", "report.html", "metrics.json")
RECIPES = {"shapes": (CNN(num_classes=2, features=(4,) * 5, dense=4), TrainConfig(epochs=1, batch_size=8))}


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch):
    """The process of the tests keeps its devices and its memory: other tests have used them."""
    monkeypatch.setattr(training_run, "share_out_cores", lambda *_: None)
    monkeypatch.setattr(training_run, "keep_freed_memory", lambda: None)


def train(run_dir, *given):
    pair = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8), np.arange(8) % 2
    source = ArrayDataSource(train=pair, validation=pair, evaluation=pair)
    arguments = TrainingArguments("Trains.", RECIPES, given=["--run-dir", str(run_dir), *map(str, given)])
    training_run.train_and_save(arguments, source, "shapes")


@pytest.fixture
def run_dir(tmp_path):
    """A run's folder with what an earlier training left."""
    (tmp_path / "run").mkdir()
    for name in FILES:
        (tmp_path / "run" / name).write_text("old")
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_no_earlier_report_is_left_beside_a_new_model(run_dir, tmp_path, monkeypatch, elsewhere):
    def failing(*_, **options):
        raise InputError("the end comes before the report")

    monkeypatch.setattr(training_run, "examine", failing)
    model = tmp_path / "m.msgpack" if elsewhere else run_dir / FILES[0]
    with pytest.raises(InputError, match="before the report"):
        train(run_dir, *(["--model", model] if elsewhere else []))
    assert load_model(model).metrics["evaluation"]["n"] == 8
    assert [name for name in FILES[1:] if (run_dir / name).exists()] == []
    assert not (run_dir / "lock").exists()


@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_replaced_is_named_before_the_training(run_dir, name):
    (run_dir / name).unlink()
    (run_dir / name).mkdir()
    with pytest.raises(InputError, match=f"cannot write .*{name}: it is a folder; choose a place"):
        train(run_dir)
    assert {path.name for path in run_dir.iterdir()} == set(FILES)


@pytest.mark.parametrize(
    ("augmentation", "told"),
    [
        (Augmentation(), "images are not changed in training"),
        (
            Augmentation(shift=3, brightness=0.1),
            "images are changed in training: shift 3, brightness 0.1; not mirrored: if a mirrored image keeps its "
            "class, add --augmentation.flip 0.5",
        ),
        (Augmentation(flip=0.5, erase=0.25), "images are changed in training: flip 0.5, erase 0.25, erase side 0.4"),
    ],
)
def test_how_images_are_changed_is_told(augmentation, told):
    assert training_run.changes(augmentation) == told


def test_no_recipe_mirrors_images_that_would_be_others():
    """Such as digits, letters and arrows; a mirrored shape is the same shape."""
    for _, config in (FOLDER_RECIPE, *MNIST_RECIPES.values()):
        assert config.augmentation.flip == 0
