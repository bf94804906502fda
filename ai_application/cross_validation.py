"""Cross-validation: trains a network for each fold, and pools the predictions of all folds."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ai_library import DataSource, InputError, Report, Trainer, evaluate, folds
from ai_library.files.atomic import write_bytes
from ai_library.networks.network import summary
from ai_library.runtime import distributed
from ai_library.runtime.devices import device_name

from .command_line import shown
from .training_arguments import TrainingArguments
from .training_run import Lists, changes, folder_of, prepare, telling_how_to_go_on, writing

METRICS = "metrics.json"


def cross_validate(arguments: TrainingArguments, source: DataSource, k: int, lists: Lists, **later: Any):
    """Trains on k - 1 of k folds, predicts the remaining fold, for each fold, and prints the pooled metrics.

    `metrics.json` in the run's folder holds them, and the metrics of each fold. No model is kept: training on all data
    gives a better one.

    Args:
        arguments: The parsed arguments of the command.
        source: The data.
        k: Number of folds.
        lists: As for `train_and_save`.
        later: Values for fields of the configuration that the arguments left open.

    Raises:
        InputError: A model was asked for, or the run to resume holds no cross-validation or began with another model.
    """
    run, config, network = arguments.run, arguments.config(**later), arguments.network(source.num_classes)
    if run.model:
        raise InputError("cross-validation keeps no model: leave --model out")
    sources = folds(source, k)
    prepare(network, source, config)
    folder = Path(distributed.broadcast_from_first(lambda: str(folder_of(run, "fold-*/"))))
    places = [folder / f"fold-{number}" for number in range(1, k + 1)]
    begun = distributed.broadcast_from_first(lambda: [any(place.glob("checkpoints/*.msgpack")) for place in places])
    if not run.resume and (folder / "checkpoints").is_dir():
        raise InputError(f"{shown(folder)} holds a run that is no cross-validation: choose another --run-dir")
    if run.resume and not any(begun):
        raise InputError(f"{shown(folder)} holds no cross-validation to resume: leave --resume out")
    if run.resume and not all(begun) and arguments.initial is None and _began_with_another(places):
        raise InputError("the folds that are left must begin with the same model as those before: name it by --from")
    print(f"cross-validation: all images, whatever their split, are divided into {k} folds\n")
    print(f"{summary(network, source.image_shape)}\n{changes(config.augmentation)}\ntrains on {device_name()}\n")
    reports = []
    for number, place in enumerate(places):
        fold = sources.pop(0)  # so that its images are freed after the fold
        with telling_how_to_go_on(run, folder):
            options = {"initial": arguments.initial, "callbacks": [writing(lists, folder)]}
            trainer = Trainer(network, fold, config, place, run.checkpoint_seconds, **options)
            classifier = trainer.fit(run.resume and begun[number])
            reports.append(evaluate(classifier, fold, verbose=True))
        print(f"fold {number + 1} of {k}: accuracy {reports[-1].summary()['accuracy']}\n", flush=True)
    pooled = _pooled(reports)
    if distributed.is_first():
        metrics = {**_pooled_metrics(reports), "folds": [report.scores() for report in reports]}
        write_bytes(folder / METRICS, json.dumps(metrics, indent=1).encode())
    print(f"{pooled}\n\nmetrics  {shown(folder / METRICS)}")


def _began_with_another(places):
    """Whether a fold was begun with the weights of a trained model."""

    def initial(place):
        try:
            return json.loads((place / "config.json").read_text()).get("initial")
        except (OSError, ValueError, AttributeError):  # the error is reported when the fold is resumed
            return None

    return distributed.broadcast_from_first(lambda: any(initial(place) is not None for place in places))


def _pooled_metrics(reports):
    """The metrics of all out-of-fold predictions. They have no "temperature", because each fold has its own."""
    metrics = _pooled(reports).metrics()
    del metrics["temperature"]
    plain = _pooled([report.at_temperature(1.0) for report in reports])
    return {**metrics, "uncalibrated": plain.scores()["uncalibrated"]}


def _pooled(reports):
    """The report on all out-of-fold predictions, each at the temperature of its fold."""
    probabilities, labels, groups = (
        np.concatenate([getattr(report, name) for report in reports]) for name in ("probabilities", "labels", "groups")
    )
    return Report(probabilities, labels, reports[0].class_names, groups=groups)
