"""Predicts each example of a source by a network that was not trained on it."""

import flax.linen as nn
import numpy as np

from ..data.folds import folds
from ..data.source import DataSource
from ..evaluation.evaluator import evaluate
from ..evaluation.report import Report
from .config import TrainConfig
from .trainer import Trainer


def predict_out_of_fold(
    model: nn.Module, source: DataSource, config: TrainConfig, k: int = 4, *, verbose: bool = True
) -> Report:
    """Trains a network on each k - 1 of k folds of all examples, and predicts the fold that is left.

    The labels that are probably wrong follow from it::

        report = predict_out_of_fold(CNN(num_classes=source.num_classes), source, TrainConfig(epochs=4))
        errors = find_label_errors(report.labels, report.probabilities)

    Args:
        model: As `Trainer` takes it.
        source: The examples, of which all splits are used.
        config: How to train each of the k networks.
        k: How many folds: see `folds`.
        verbose: Whether to show progress.

    Returns:
        The report of all examples: those of the source's first split in their order, then of its second, and so on.

    Raises:
        InputError: The examples cannot be divided, or the network cannot be trained on them.
    """
    positions, reports, sources = [], [], folds(source, k)
    for number in range(1, len(sources) + 1):
        fold = sources.pop(0)  # whose images then leave the memory
        if verbose:
            print(f"fold {number} of {k}", flush=True)
        classifier = Trainer(model, fold, config, run_dir=False, verbose=verbose).fit()
        reports.append(evaluate(classifier, fold, verbose=verbose))
        positions.append(fold.positions("evaluation"))
    order = np.argsort(np.concatenate(positions))
    probabilities, labels, groups = (
        np.concatenate([getattr(report, name) for report in reports])[order]
        for name in ("probabilities", "labels", "groups")
    )
    return Report(probabilities, labels, source.class_names, groups=groups)
