"""What a user passes to `Trainer`: a loss, a classifier to begin with, callbacks, more epochs, silence."""

import json
import logging
import signal
from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from ai_library import (
    ArrayDataSource,
    Augmentation,
    EarlyStopping,
    InputError,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    TrainingStopped,
    create_train_state,
    train_step,
)
from ai_library.networks.initial import initialise
from ai_library.networks.network import described
from ai_library.networks.transfer import digest
from ai_library.tests.own_networks import Linear, Shallow, Stock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

NAMES = ("circle", "cross", "star")
SOURCE = ShapeDataSource(image_size=16, class_names=NAMES, sizes=(64, 32, 32))


def config(**changes):
    return TrainConfig(**{"epochs": 2, "batch_size": 16, **changes})


def fitted(folder, model=Linear(3), source=SOURCE, settings=None, resume=False, **more):
    return Trainer(model, source, settings or config(), folder, verbose=False, **more).fit(resume)


def test_a_second_run_with_another_seed_and_rate_compiles_nothing(tmp_path, caplog):
    def run(name, seed, rate, epochs):
        source = ShapeDataSource(seed=seed, image_size=16, class_names=NAMES, sizes=(64, 32, 300))
        model = Shallow(3)
        settings = config(seed=seed, learning_rate=rate, epochs=epochs, warmup=rate)
        fitted(tmp_path / name, model, source, settings)

    run("first", 0, 0.01, 2)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run("second", 5, 0.2, 3)
        compiled = [record.message for record in caplog.records if "XLA compilation" in record.message]
        assert compiled == []
        jax.jit(lambda x: x + 7)(1.0)  # which shows that it would be told
    assert any("XLA compilation" in record.message for record in caplog.records)


def test_a_loss_of_ones_own_is_minimised(tmp_path):
    def focal(logits, labels):
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return (1 - jax.numpy.exp(-cross_entropy)) ** 2 * cross_entropy

    fitted(tmp_path / "own", loss=focal)
    assert "focal" in (tmp_path / "own/config.json").read_text()
    with pytest.raises(InputError, match=r"one number for each example, \(16,\), but gives \(\)"):
        fitted(tmp_path / "mean", loss=lambda logits, labels: focal(logits, labels).mean())
    with pytest.raises(InputError, match="a training step cannot be taken .*: NameError"):
        fitted(tmp_path / "wrong", loss=lambda logits, labels: undefined(logits))  # noqa: F821
    assert not (tmp_path / "wrong").exists()


class Focal:
    def __init__(self, gamma):
        self.gamma = gamma

    def __call__(self, logits, labels):
        return focal(logits, labels, self.gamma)


def focal(logits, labels, gamma):
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (1 - jax.numpy.exp(-cross_entropy)) ** gamma * cross_entropy


@pytest.mark.parametrize("loss_of", [Focal, lambda gamma: partial(focal, gamma=gamma)])
def test_a_run_resumes_with_a_loss_that_is_the_same_and_is_made_anew(loss_of, tmp_path):
    """A text with addresses in memory would be another one in each process."""
    fitted(tmp_path / "run", loss=loss_of(2.0), optimizer=partial(optax.adamw, weight_decay=0.1))
    assert "0x" not in (tmp_path / "run/config.json").read_text()
    same = {"loss": loss_of(2.0), "optimizer": partial(optax.adamw, weight_decay=0.1)}
    fitted(tmp_path / "run", settings=config(epochs=3), resume=True, **same)
    with pytest.raises(InputError, match=r"functions.loss was .*2\.0.*is now .*3\.0"):
        fitted(tmp_path / "run", settings=config(epochs=4), resume=True, **{**same, "loss": loss_of(3.0)})


def test_a_loss_that_refers_to_itself_is_described():
    loss = Focal(2.0)
    loss.itself = partial(loss, loss)
    assert described(loss).startswith("Focal(gamma=2.0, itself=partial(Focal(")


def test_a_callback_that_changes_its_history_changes_no_checkpoint(tmp_path):
    def meddling(history):
        history[-1]["minutes"] = 1.0
        history.append({})

    fitted(tmp_path / "run", callbacks=[meddling])
    fitted(tmp_path / "run", settings=config(epochs=3), callbacks=[meddling], resume=True)
    assert (tmp_path / "run/history.csv").read_text().count("\n") == 4
    assert "minutes" not in (tmp_path / "run/history.csv").read_text()


def test_class_weights_weigh_the_loss(tmp_path):
    images, labels = SOURCE.examples("train", range(16))

    def loss(**settings):
        state = create_train_state(Linear(3), (16, 16, 1), config(**settings), 9)
        return float(train_step(state, images, labels)[1]["loss"])

    alone = [loss(class_weights=np.eye(3)[label].tolist()) for label in range(3)]
    assert min(alone) > 0
    assert loss() == pytest.approx(sum(alone), rel=1e-5)
    assert loss(class_weights=(1, 2, 0)) == pytest.approx(alone[0] + 2 * alone[1], rel=1e-5)
    with pytest.raises(InputError, match=r"a weight for each of 3 classes, \(3,\), got \(2,\)"):
        fitted(tmp_path / "b", settings=config(class_weights=(1, 2)))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ((1.0, 50.0), r"class_weights must be a weight for each of 3 classes, \(3,\), got \(2,\)"),
        ((1.0, 2.0, 3.0, 4.0), r"got \(4,\)"),
        (2.0, r"got \(\)"),
        (np.ones((3, 1)), r"got \(3, 1\)"),
        ("balanced", "class_weights must be numbers here, got 'balanced': only a Trainer"),
    ],
)
def test_a_state_takes_one_class_weight_for_each_class(own, message):
    with pytest.raises(InputError, match=message):
        create_train_state(Linear(3), (16, 16, 1), config(), 9, class_weights=own)
    if isinstance(own, (tuple, str)):
        with pytest.raises(InputError, match=message):
            create_train_state(Linear(3), (16, 16, 1), config(class_weights=own), 9)


def test_balanced_class_weights_make_up_for_rare_classes(tmp_path):
    images, labels = SOURCE.examples("train", range(64))
    kept = np.concatenate([np.flatnonzero(labels == 0)[:4], np.flatnonzero(labels > 0)])
    source = ArrayDataSource(
        train=(images[kept], labels[kept]), validation=(images, labels), class_names=("circle", "cross", "star")
    )
    trainer = Trainer(Linear(3), source, config(class_weights="balanced"), tmp_path / "run")
    counts = np.bincount(labels[kept])
    np.testing.assert_allclose(trainer._first_state().class_weights * counts, counts.sum() / 3, rtol=1e-6)
    missing = ArrayDataSource(
        train=(images[labels > 0], labels[labels > 0]), validation=(images, labels), class_names=NAMES
    )
    with pytest.raises(InputError, match="training images of every class, and 'circle' has none"):
        fitted(tmp_path / "x", source=missing, settings=config(class_weights="balanced"))


def one_block(num_classes=3):
    return Stock(num_classes, widths=(4,))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("first") / "run", one_block())


def test_a_training_begins_with_the_weights_of_another(first, tmp_path):
    state = Trainer(one_block(), SOURCE, config(), tmp_path / "x", initial=first)._first_state()
    jax.tree.map(np.testing.assert_array_equal, state.current_variables, first.variables)


def test_another_head_begins_anew_where_the_classes_are_others(first, tmp_path):
    for names in (("circle", "square"), ("circle", "square", "cross")):  # fewer, and as many others
        source = ShapeDataSource(image_size=16, class_names=names, sizes=(64, 32, 32))
        model = one_block(len(names))
        trainer = Trainer(model, source, config(seed=4), tmp_path / "x", initial=first)
        state = trainer._first_state()
        assert str(trainer._transfer) == "6 of 8 arrays of the initial classifier; Dense_0 anew"
        fresh = initialise(model, 4, (16, 16, 1))
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.current_variables):
            of = dict(jax.tree_util.tree_leaves_with_path(fresh if "Dense" in str(path) else first.variables))
            np.testing.assert_array_equal(leaf, of[path])


def test_a_classifier_of_another_network_is_no_beginning(tmp_path):
    first = fitted(tmp_path / "first", Linear(3))
    with pytest.raises(InputError, match="initial must share weights with the network"):
        fitted(tmp_path / "x", Shallow(3), initial=first)


def test_a_run_that_began_with_another_goes_on_without_it_but_not_with_a_third(first, tmp_path, capsys):
    """Frozen layers stay as they are, also over a signal, and the run ends as if it had not been interrupted."""
    settings = config(freeze=2, ema_decay=0.9, augmentation=Augmentation(flip=0.5, brightness=0.2))

    def run(name, resume=False, **more):
        return Trainer(one_block(), SOURCE, settings, tmp_path / name, **more).fit(resume)

    def began_with(name):
        return json.loads((tmp_path / name / "config.json").read_text())["initial"]

    whole = run("whole", initial=first)
    assert "begins with 8 of 8 arrays of the initial classifier\n" in capsys.readouterr().out
    assert began_with("whole") == digest(first.variables)
    before, after = (flatten_dict(each.variables) for each in (first, whole))
    same = {path[1] for path in before if np.array_equal(before[path], after[path])}
    assert same == {"Conv_0", "BatchNorm_0"}

    with pytest.raises(TrainingStopped):
        run("stopped", initial=first, callbacks=[lambda history: signal.raise_signal(signal.SIGTERM)])
    with pytest.raises(
        InputError, match=f'initial was "{digest(first.variables)}", is now "{digest(whole.variables)}"$'
    ):
        run("stopped", resume=True, initial=whole)
    resumed = run("stopped", resume=True)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
    assert "begins with" not in capsys.readouterr().out.partition("epoch 2/2")[2]
    assert began_with("stopped") == began_with("whole")
    run("stopped", resume=True, initial=first)


def test_a_run_that_began_anew_does_not_go_on_with_a_classifier(first, tmp_path):
    fitted(tmp_path / "run", one_block())
    assert json.loads((tmp_path / "run/config.json").read_text())["initial"] is None
    with pytest.raises(InputError, match=f'initial was null, is now "{digest(first.variables)}"$'):
        fitted(tmp_path / "run", one_block(), resume=True, initial=first)


def test_callbacks_get_the_history_and_end_a_run(tmp_path):
    seen = []
    fitted(tmp_path / "run", settings=config(epochs=6), callbacks=[lambda history: seen.append(len(history))])
    assert seen == [1, 2, 3, 4, 5, 6]
    trainer = Trainer(
        Linear(3),
        SOURCE,
        config(epochs=50, learning_rate=1e-9),
        tmp_path / "short",
        verbose=False,
        callbacks=[EarlyStopping(patience=2, least=0.01)],
    )
    classifier = trainer.fit()
    assert len(trainer.history) == 3
    again = Trainer(
        Linear(3),
        SOURCE,
        config(epochs=50, learning_rate=1e-9),
        tmp_path / "short",
        verbose=False,
        callbacks=[EarlyStopping(patience=2, least=0.01)],
    )
    jax.tree.map(np.testing.assert_array_equal, again.fit(resume=True).variables, classifier.variables)
    assert len(again.history) == 3


def test_patience_ends_a_run_and_a_resumed_one_at_the_same_epoch(tmp_path):
    def trainer(name, stop_after=None):
        settings = config(epochs=50, learning_rate=1e-9, patience=3)
        callbacks = [lambda history: signal.raise_signal(signal.SIGINT) if len(history) == stop_after else None]
        return Trainer(Linear(3), SOURCE, settings, tmp_path / name, verbose=False, callbacks=callbacks)

    whole = trainer("whole")
    classifier = whole.fit()
    assert len(whole.history) == 4
    with pytest.raises(TrainingStopped):
        trainer("stopped", 2).fit()
    resumed = trainer("stopped")
    jax.tree.map(np.testing.assert_array_equal, resumed.fit(resume=True).variables, classifier.variables)
    assert resumed.history == whole.history


def test_a_finished_run_can_be_given_more_epochs_but_not_fewer(tmp_path):
    fitted(tmp_path / "run")
    trainer = Trainer(Linear(3), SOURCE, config(epochs=4), tmp_path / "run", verbose=False)
    trainer.fit(resume=True)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="train.epochs was 4, is now 2"):
        fitted(tmp_path / "run", resume=True)


def test_a_network_that_cannot_be_called_is_named_when_the_trainer_is_made(tmp_path):
    with pytest.raises(InputError, match=r"Linear must give logits \(b, 3\), one for each class, but gives \(2, 4\)"):
        Trainer(Linear(4), SOURCE, config(), tmp_path / "run")
    with pytest.raises(InputError, match="must be a flax.linen.Module, got function"):
        Trainer(lambda images, train: images, SOURCE, config(), tmp_path / "run")


def test_a_training_without_a_run_directory_is_the_same_and_writes_nothing(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    classifier = fitted(False)
    assert not [*(tmp_path / "empty").iterdir()]
    jax.tree.map(np.testing.assert_array_equal, classifier.variables, fitted(tmp_path / "run").variables)
    with pytest.raises(InputError, match="keeps no run directory cannot be resumed"):
        fitted(False, resume=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # one in the background may ignore it
    try:
        with pytest.raises(KeyboardInterrupt) as stopped:
            fitted(False, callbacks=[lambda history: signal.raise_signal(signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert type(stopped.value) is KeyboardInterrupt


def test_a_silent_training_says_nothing(tmp_path, capfd):
    fitted(tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_what_is_traced_to_check_a_step_is_not_traced_again(tmp_path):
    calls = []

    def counting(logits, labels):
        calls.append(1)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)

    trainer = Trainer(Linear(3), SOURCE, config(), tmp_path / "run", loss=counting, verbose=False)
    trainer.fit()
    assert len(calls) == 1
