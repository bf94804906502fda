"""Training learns, repeats bit by bit, resumes, keeps the epoch validation chooses, and stops when it goes astray."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ai_library import (
    CNN,
    Augmentation,
    InputError,
    Report,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    create_train_state,
    evaluate,
    fit_temperature,
    train_step,
)
from ai_library.tests.own_networks import Linear, Stock
from ai_library.training import step

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

ROOT = Path(__file__).resolve().parents[3]

CONFIG = TrainConfig(epochs=3, batch_size=32, learning_rate=1e-2)

TINY = Stock(num_classes=3, widths=(4,))
"""For what any network shows: it is compiled in a fraction of the time."""

FEW = ShapeDataSource(image_size=32, class_names=("circle", "rectangle", "star"), sizes=(32, 96, 9))


def equal(first, second):
    return jax.tree.all(jax.tree.map(np.array_equal, first, second))


def test_learns_far_above_chance(trained, source):
    assert evaluate(trained[1], source).accuracy > 0.8


def test_two_runs_with_one_seed_are_bitwise_equal(tmp_path):
    trainer, again = (Trainer(TINY, FEW, CONFIG, tmp_path / name) for name in ("first", "again"))
    assert equal(trainer.fit().variables, again.fit().variables)
    assert again.history == trainer.history
    assert (tmp_path / "again/history.csv").read_bytes() == (tmp_path / "first/history.csv").read_bytes()


def test_an_epoch_that_unlearns_is_not_chosen(source, small_model, tmp_path, monkeypatch):
    """The labels of the last epoch are turned round."""
    real = source.batches

    def misleading(split, batch_size, epoch=None, **options):
        for images, labels in real(split, batch_size, epoch, **options):
            yield images, (labels + 1) % 3 if epoch == 2 else labels

    monkeypatch.setattr(source, "batches", misleading)
    trainer = Trainer(small_model, source, CONFIG, tmp_path / "run")
    classifier = trainer.fit()
    monkeypatch.undo()
    accuracies = [row["validation_accuracy"] for row in trainer.history]
    assert accuracies[2] < max(accuracies)
    assert (
        evaluate(classifier, source, "validation").accuracy == classifier.metrics["validation"]["validation_accuracy"]
    )
    assert classifier.metrics["validation"]["epoch"] < 3


@pytest.mark.parametrize(
    ("correct", "chosen"),
    [((80, 90, 92), 3), ((80, 92, 91), 3), ((80, 92, 88), 2), ((92, 80, 88), 1), ((96, 90, 90), 1)],
)
def test_the_last_epoch_within_a_standard_error_of_the_best_is_chosen(tmp_path, monkeypatch, correct, chosen):
    """Of 96 validation images: at 92 right the standard error is 1.96 images, at 96 it is 0."""
    reports = iter([_report(FEW, right) for right in correct])
    monkeypatch.setattr("ai_library.training.trainer.evaluate", lambda *_: next(reports))
    classifier = Trainer(TINY, FEW, CONFIG, tmp_path / "run").fit()
    assert classifier.metrics["validation"]["epoch"] == chosen


def _report(source, right):
    """A report on the validation split with that many right answers."""
    labels = np.arange(source.size("validation")) % source.num_classes
    predictions = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % source.num_classes)
    return Report(np.eye(source.num_classes)[predictions], labels, source.class_names)


def test_the_chosen_epochs_temperature_goes_with_the_classifier(source, small_model, tmp_path):
    classifier = Trainer(small_model, source, TrainConfig(batch_size=32, learning_rate=1e-2), tmp_path / "run").fit()
    report = evaluate(classifier, source, "validation")
    assert classifier.temperature == classifier.metrics["validation"]["temperature"]
    assert classifier.temperature == pytest.approx(fit_temperature(report.logits, report.labels), rel=1e-6)
    assert classifier.temperature != 1.0


def test_step_compiles_once_whatever_the_number_of_epochs(tmp_path):
    source = ShapeDataSource(image_size=20, class_names=("star", "cross", "hexagon"), sizes=(70, 9, 9))
    before = step._train_step._cache_size()
    trainer = Trainer(Linear(3), source, CONFIG, tmp_path / "run")
    trainer.fit()
    assert trainer.history[-1]["step"] == 9
    assert step._train_step._cache_size() == before + 1


def test_label_smoothing_spreads_its_share_over_all_classes(source):
    images, labels = source.examples("train", range(32))
    losses = []
    for smoothing in (0.0, 0.3):
        state = create_train_state(Linear(3), source.image_shape, TrainConfig(label_smoothing=smoothing), 10)
        dense = jax.tree.map(np.array, state.params["Dense_0"])
        losses.append(float(train_step(state, images, labels)[1]["loss"]))
    logs = jax.nn.log_softmax((images / 127.5 - 1).reshape(32, -1) @ dense["kernel"] + dense["bias"])
    hard, even = -logs[np.arange(32), labels].mean(), -logs.mean()
    np.testing.assert_allclose(losses, [hard, 0.7 * hard + 0.3 * even], rtol=1e-5)


def test_the_running_mean_of_the_weights_predicts(source):
    """Keeps at most (1 + step) / (10 + step) of the mean: 2/11 at the first step, 3/12 at the second."""
    images, labels = source.examples("train", range(32))
    state = create_train_state(TINY, source.image_shape, TrainConfig(ema_decay=0.9), 10)
    seen = [jax.tree.map(np.array, state.params)]
    for _ in range(2):
        state, _ = train_step(state, images, labels)
        seen.append(jax.tree.map(np.array, state.params))
    first = jax.tree.map(lambda old, new: 2 / 11 * old + 9 / 11 * new, *seen[:2])
    wanted = jax.tree.map(lambda mean, new: 3 / 12 * mean + 9 / 12 * new, first, seen[2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.variables["params"], wanted)
    assert not equal(state.variables["params"], state.params)


@pytest.mark.parametrize(("step", "share"), [(0, 1.0), (5, 1.0), (8, 0.4), (10, 0.0)])
def test_augmentation_fades_from_the_middle_of_the_run_on(source, step, share):
    """Seen in the loss of a step: it is that of a run whose augmentation never had more than this share."""
    images, labels = source.examples("train", range(32))

    def loss(brightness, final):
        config = TrainConfig(augmentation=Augmentation(brightness=brightness), final_augmentation=final)
        state = create_train_state(Linear(3), source.image_shape, config, 10).replace(step=np.int32(step))
        return train_step(state, images, labels)[1]["loss"]

    assert loss(0.9, 0.0) == pytest.approx(float(loss(0.9 * share, 1.0)), rel=1e-4)
    assert share == 1 or loss(0.9, 0.0) != pytest.approx(float(loss(0.9, 1.0)), rel=1e-3)


def test_step_is_adam_on_the_mean_cross_entropy(source):
    """Adam's first step moves each weight by the learning rate against the sign of its gradient."""
    state = create_train_state(TINY, source.image_shape, CONFIG, 100)
    images, labels = source.examples("train", range(32))
    before = jax.tree.map(np.array, state.variables)

    def loss_of(params):
        logits, _ = TINY.apply({**before, "params": params}, images / 127.5 - 1, train=True, mutable=["batch_stats"])
        return -jax.nn.log_softmax(logits)[np.arange(32), labels].mean()

    wanted, gradients = jax.jit(jax.value_and_grad(loss_of))(before["params"])
    after, metrics = train_step(state, images, labels)
    np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-5)
    rate = metrics["learning_rate"]
    assert rate == pytest.approx(1e-3)  # a tenth of the highest
    for old, new, gradient in zip(*map(jax.tree.leaves, (before["params"], after.params, gradients)), strict=True):
        clear = np.abs(gradient) > 1e-4
        np.testing.assert_allclose((new - old)[clear], -rate * np.sign(gradient)[clear], rtol=1e-2, atol=1e-7)


IMAGES, LABELS = np.zeros((4, 16, 16, 1), np.uint8), np.zeros(4, np.int32)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, r"images must be an array of uint8 \(b, h, w, c\), got float32"),
        (IMAGES[0], LABELS, "images must be .* got uint8"),
        (IMAGES.tolist(), LABELS, "images must be .* got a list"),
        (IMAGES, LABELS[:3], r"labels must be an array of integers \(4,\)"),
        (IMAGES, LABELS[:, None], "labels must be"),
        (IMAGES, LABELS.astype(np.float32), "labels must be .* got float32"),
        (IMAGES, np.eye(3, dtype=np.int32)[LABELS], "labels must be"),
        (IMAGES, LABELS - 1, "labels must be from 0 to 2, got -1"),
        (IMAGES, LABELS + 3, "labels must be from 0 to 2, got 3 to 3"),
    ],
)
def test_a_step_refuses_other_images_and_labels_than_it_is_made_for(images, labels, message):
    state = create_train_state(Linear(3), (16, 16, 1), CONFIG, 9)
    with pytest.raises(InputError, match=message):
        train_step(state, images, labels)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_on_a_device_that_is_no_class_makes_the_loss_no_number(label):
    state = create_train_state(Linear(3), (16, 16, 1), CONFIG, 9)
    _, metrics = train_step(state, IMAGES, jax.device_put(np.array([0, 1, 2, label], np.int32)))
    assert np.isnan(metrics["loss"])


def test_stops_at_the_step_whose_loss_is_not_finite(source, tmp_path):
    trainer = Trainer(TINY, source, TrainConfig(epochs=1, batch_size=32, learning_rate=1e30), tmp_path / "run")
    with pytest.raises(InputError, match=r"loss is (nan|inf) at step \d+ \(epoch 1\): lower learning_rate=1e\+30"):
        trainer.fit()


def test_run_directory_holds_history_configuration_and_curves(trained):
    trainer, _ = trained
    with open(trainer.run_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["validation_loss"]) for row in rows] == [row["validation_loss"] for row in trainer.history]
    config = json.loads((trainer.run_dir / "config.json").read_text())
    assert config["train"]["learning_rate"] == 1e-2
    assert config["source"]["seed"] == 3

    curves = {}
    for split in ("train", "validation"):
        curves[split] = EventAccumulator(str(trainer.run_dir / split), size_guidance={"images": 0, "scalars": 0})
        curves[split].Reload()
    assert set(curves["train"].Tags()["scalars"]) == {"loss", "accuracy", "learning_rate", "images_a_second"}
    assert curves["train"].Tags()["images"] == ["samples"]
    assert curves["validation"].Tags()["images"] == ["confusion_matrix"]
    found = [event.value for event in curves["validation"].Scalars("accuracy")]
    np.testing.assert_allclose(found, [row["validation_accuracy"] for row in trainer.history], rtol=1e-6)


def test_a_run_is_neither_overwritten_nor_resumed_under_other_settings(trained, source, small_model, tmp_path):
    trainer, _ = trained
    with pytest.raises(InputError, match="holds a run already"):
        Trainer(small_model, source, CONFIG, trainer.run_dir).fit()
    changed = Trainer(small_model, source, TrainConfig(epochs=3, batch_size=32, learning_rate=2e-2), trainer.run_dir)
    with pytest.raises(InputError, match=r"train.learning_rate was 0.01, is now 0.02"):
        changed.fit(resume=True)
    with pytest.raises(InputError, match="no run to resume"):
        Trainer(small_model, source, CONFIG, tmp_path / "nothing").fit(resume=True)


def test_a_run_that_stopped_before_its_first_checkpoint_can_be_started_again(source, tmp_path):
    with pytest.raises(InputError, match="not finite|loss is"):
        Trainer(TINY, source, TrainConfig(epochs=1, batch_size=32, learning_rate=1e30), tmp_path / "run").fit()
    with pytest.raises(InputError, match="start a run there by fit"):
        Trainer(TINY, source, CONFIG, tmp_path / "run").fit(resume=True)
    assert len(Trainer(TINY, source, TrainConfig(epochs=1, batch_size=32), tmp_path / "run").fit().class_names) == 3


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_between_checkpoints_that_is_none_is_refused(source, seconds):
    with pytest.raises(InputError, match=f"checkpoint_seconds must be 0 or more, got {seconds}"):
        Trainer(TINY, source, checkpoint_seconds=seconds)


def test_runs_without_a_folder_of_their_own_get_different_ones(source):
    assert Trainer(TINY, source).run_dir != Trainer(TINY, source).run_dir


def test_numpys_whole_numbers_are_kept_as_pythons():
    config = TrainConfig(seed=np.int64(3), epochs=np.int32(2))
    assert json.loads(json.dumps(vars(config), default=vars))["seed"] == 3


@pytest.mark.parametrize("of", [np.float32, np.float64, jnp.float32, lambda value: np.array(value)])
def test_other_numbers_of_numpy_and_jax_are_kept_as_pythons(of):
    names = ("learning_rate", "warmup", "label_smoothing", "ema_decay", "final_augmentation", "clip_norm")
    config = TrainConfig(**dict.fromkeys(names, of(0.5)), class_weights=(of(1), of(0.5)))
    assert config == TrainConfig(**dict.fromkeys(names, 0.5), class_weights=(1.0, 0.5))
    assert json.loads(json.dumps(asdict(config)))["clip_norm"] == 0.5
    assert {type(value) for value in (*(getattr(config, name) for name in names), *config.class_weights)} == {float}


@pytest.mark.parametrize("of", [np.array, jnp.array, list])
def test_class_weights_are_kept_as_a_tuple(of):
    assert TrainConfig(class_weights=of([1.0, 2.0, 3.0])).class_weights == (1.0, 2.0, 3.0)


def test_model_and_source_must_agree_on_the_classes(source):
    with pytest.raises(InputError, match=r"must give logits \(b, 3\), one for each class"):
        Trainer(CNN(num_classes=4), source)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"label_smoothing": 1.0},
        {"final_augmentation": 1.1},
        {"seed": -1},
        {"seed": "0"},
        {"epochs": 2.0},
        {"batch_size": 32.5},
        {"learning_rate": np.ones(2)},
        {"clip_norm": np.complex64(1)},
        {"class_weights": np.ones((3, 2))},
        {"class_weights": np.array(2.0)},
        {"class_weights": (1.0, "2")},
        {"class_weights": {0: 1.0}},
    ],
)
def test_configurations_that_do_not_fit_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        TrainConfig(**change)
