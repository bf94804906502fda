"""A program as a user of the library writes it, with all of its public names: `test_types.py` checks and runs it.

`assert_type` says which type a checker must see: were it `Any`, the checker would complain.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import flax.linen as nn
import jax
import numpy as np
import optax
from numpy.typing import NDArray

from ai_library import (
    CNN,
    CORRUPTIONS,
    NETWORKS,
    SHAPES,
    ArrayDataSource,
    ArrayExamples,
    Augmentation,
    Classifier,
    Comparison,
    Condition,
    DataSource,
    EarlyStopping,
    ErrorCurve,
    Examples,
    FactorGrid,
    FoldDataSource,
    HeldOut,
    ImageClassifier,
    ImageFolderDataSource,
    InputError,
    LabelErrors,
    ModelFileError,
    PsychometricCurve,
    Report,
    ResNet,
    ShapeDataSource,
    ShapeRanges,
    Slice,
    SpuriousCue,
    Study,
    StudyResults,
    TrainConfig,
    Trainer,
    TrainingStopped,
    TrainState,
    accuracy_by,
    accuracy_grid,
    compare,
    corrupt,
    create_train_state,
    evaluate,
    evaluate_corrupted,
    export_onnx,
    export_page,
    export_stablehlo,
    factor_table,
    find_label_errors,
    find_slices,
    fit_temperature,
    folds,
    learning_curve,
    load_model,
    noise_curve,
    predict_out_of_fold,
    psychometric,
    save_model,
    train_step,
)


class Mine(nn.Module):
    """A network of the user's own."""

    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


def stripes(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (b, 8, 12, 1) of stripes across or down, of any brightness, and their labels (b,)."""
    labels, (rows, columns) = indices % 2, np.mgrid[:8, :12]
    bright = np.where(labels[:, None, None] == 0, rows % 2, columns % 2)
    return (bright * (100 + indices[:, None, None])).astype(np.uint8)[..., np.newaxis], labels


class Stripes(DataSource):
    """Data of the user's own, as arrays."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed, image_shape=(8, 12, 1), class_names=("across", "down"))

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray] | Examples:
        return stripes(np.arange(40))


class Drawn:
    """Examples that are made when they are asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return stripes(indices)


class Endless(Stripes):
    """The same data, made when they are asked for."""

    def load(self, split: str) -> Examples:
        return Drawn(40)


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return ((jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1])) ** 2).sum(axis=-1)


def lion(schedule: optax.Schedule) -> optax.GradientTransformation:
    return optax.lion(schedule)


def told(history: list[dict[str, Any]]) -> None:
    print(history[-1]["validation_loss"])


def trained(folder: Path) -> Classifier:
    source = Stripes(seed=1)
    config = TrainConfig(
        epochs=2,
        batch_size=8,
        class_weights="balanced",
        optimizer_arguments={"b1": 0.8, "nesterov": True},
        augmentation=Augmentation(shift=1.0),
    )
    trainer = Trainer(Mine(num_classes=source.num_classes), source, config, folder / "run", verbose=False)
    assert_type(trainer.config, TrainConfig)
    assert_type(trainer.history, list[dict[str, Any]])
    try:
        first = assert_type(trainer.fit(), Classifier)
    except TrainingStopped as stopped:
        raise SystemExit(stopped.received) from stopped
    again = Trainer(
        Mine(num_classes=2),
        source,
        TrainConfig(batch_size=8, class_weights=(1.0, 2.0)),
        run_dir=False,
        optimizer=lion,
        loss=squared_error,
        initial=first,
        callbacks=[EarlyStopping(patience=1), told],
        verbose=False,
    )
    return again.fit()


def kept(classifier: Classifier, path: Path) -> Classifier:
    save_model(path, classifier)
    export_stablehlo(path.with_suffix(".zip"), classifier)
    try:
        export_onnx(path.with_suffix(".onnx"), classifier)
        export_page(path.with_suffix(".html"), classifier)
    except InputError as error:  # it is no network of the library's own
        print(error)
    try:
        load_model(path)
    except ModelFileError as error:
        print(error)
    return assert_type(load_model(str(path), networks=[Mine]), Classifier)


def predicted(classifier: Classifier, source: DataSource) -> None:
    images, labels = source.examples("evaluation", range(4))
    assert_type(images, NDArray[np.uint8])
    assert_type(labels, NDArray[np.int32])
    assert_type(classifier.predict(images), NDArray[np.intp])
    assert_type(classifier.predict([images[0], images[1]]), NDArray[np.intp])
    assert_type(classifier.predict_proba(jax.numpy.asarray(images)), NDArray[np.float64])
    assert_type(classifier.features(images), NDArray[np.float32])
    assert_type(classifier.score(images, labels), float)
    for logits in classifier.predict_logits(batch for batch, _ in source.batches("evaluation", 16)):
        assert_type(logits, NDArray[np.float32])
        assert_type(fit_temperature(logits[:2], [0, 1]), float)
    assert_type(classifier.class_names, tuple[str, ...])
    assert_type(classifier.model, nn.Module)


def reported(classifier: Classifier, source: DataSource) -> None:
    report = assert_type(evaluate(classifier, source), Report)
    assert_type(report.accuracy, float)
    assert_type(report.accuracy_interval, tuple[float, float])
    assert_type(report.hits, NDArray[np.bool_])
    assert_type(report.confusion_matrix, NDArray[np.intp])
    assert_type(report.per_class["down"]["recall"], float)
    assert_type(report.per_class["down"]["roc_auc"], float | None)
    assert_type(report.metrics(), dict[str, Any])
    comparison = assert_type(compare(report, report), Comparison)
    assert_type(comparison.p_value, float)
    images, _ = source.examples("evaluation", range(2))
    for kind in CORRUPTIONS:
        assert_type(corrupt(images, kind, 3), NDArray[np.uint8])
    for row in evaluate_corrupted(classifier, source, n=4):
        assert_type(row.accuracy, float)


def doubted(source: DataSource) -> None:
    report = predict_out_of_fold(Mine(num_classes=2), source, TrainConfig(epochs=1), 3)
    errors = assert_type(find_label_errors(report.labels, report.probabilities), LabelErrors)
    assert_type(errors.indices, NDArray[np.intp])


def sliced() -> None:
    ranges = ShapeRanges(size=(0.3, 0.4), outlined=0.0)
    source = ShapeDataSource(image_size=16, class_names=SHAPES[:3], sizes=(40, 20, 20), ranges=ranges)
    factors = source.factors("train", [0, 1])
    if factors is not None:
        assert_type(factors.size, np.ndarray)
    table = factor_table(source)
    assert table is not None
    assert_type(table, dict[str, np.ndarray])
    hits = np.arange(20) > 5
    assert_type(find_slices(hits, table), list[Slice])
    assert_type(accuracy_by(hits, table["size"])[0].accuracy_interval, tuple[float, float])
    assert_type(accuracy_grid(hits, table["size"], table["class"]).rows, list[str])


def experimented() -> None:
    held = assert_type(FactorGrid(contrast=3, filled=2).ladder(known=1, classes=["star"]), HeldOut)
    source = ShapeDataSource(
        image_size=16,
        class_names=("circle", "star"),
        sizes=(40, 20, 20),
        hold_out=held,
        label_noise=0.1,
        class_shares=(2, 1),
        spurious=SpuriousCue("x", 0.9),
    )
    assert_type(source.mislabelled("train"), NDArray[np.bool_])
    classifier = Trainer(
        Mine(num_classes=2), source, TrainConfig(epochs=1, batch_size=8), run_dir=False, verbose=False
    ).fit()
    assert_type(evaluate(classifier, source, "held_out"), Report)
    curve = assert_type(psychometric(classifier, source, "noise", [0.0, 0.05, 0.1, 0.2], n=20), PsychometricCurve)
    assert_type(curve.threshold, float | None)
    assert_type(curve.rows[0].accuracy, float)


def stepped(source: DataSource) -> None:
    networks: Mapping[str, type[nn.Module]] = NETWORKS
    print(sorted(networks), CNN(num_classes=2, dense=8, patch=2).summary(source.image_shape))
    network = ResNet(num_classes=2, features=(4,), patch=2)
    state = assert_type(create_train_state(network, source.image_shape, TrainConfig(), steps=2), TrainState)
    for images, labels in source.batches("train", batch_size=8, epoch=0):
        state, metrics = train_step(state, images, labels)
        assert_type(metrics["loss"], jax.Array)
    assert_type(state.variables, dict[str, Any])


def studied(folder: Path) -> None:
    conditions = {
        f"rate {rate}": Condition(
            network=Mine(num_classes=2), source=Stripes, config=TrainConfig(batch_size=8, learning_rate=rate)
        )
        for rate in (0.001, 0.1)
    }
    study = Study(conditions, 2, folder, metric="log_loss", verbose=False)
    results = assert_type(study.run(), StudyResults)
    assert_type(results.summaries[0].mean.value, float)
    assert_type(results.comparisons[0].conclusion, str)
    assert_type(study.classifier("rate 0.1", 1), Classifier)
    study.write_page()
    shares = {"rate 0.001": 0.0, "rate 0.1": 0.5}
    assert_type(noise_curve(results, shares), ErrorCurve)
    print(results, learning_curve(results, {name: 1 + share for name, share in shares.items()}))


def main(folder: Path) -> None:
    images, labels = stripes(np.arange(40))
    given = ArrayExamples(images, labels)
    assert_type(given.labels, NDArray[np.int32])
    arrays = ArrayDataSource(train=(images, labels), validation=0.2, evaluation=(images, labels))
    assert_type(folds(arrays, 4), list[FoldDataSource])
    classifier = kept(trained(folder), folder / "mine.msgpack")
    predicted(classifier, Endless())
    reported(classifier, Endless())
    doubted(arrays)
    sliced()
    experimented()
    stepped(arrays)
    studied(folder / "study")
    estimator = ImageClassifier(network=Mine, epochs=1, class_weight={"down": 2.0}, random_state=3)
    assert_type(estimator.fit(images, np.array(["across", "down"])[labels]), ImageClassifier)
    assert_type(estimator.predict(images), np.ndarray)
    assert_type(estimator.classifier_, Classifier)
    try:
        ImageFolderDataSource(folder / "nothing")
    except InputError as error:
        print(error)


if __name__ == "__main__":
    main(Path())
