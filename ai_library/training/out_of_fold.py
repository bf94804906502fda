"""Out-of-fold predictions: each example of a source is predicted by a network that was not trained on it."""

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
    """Divides all examples into k folds, and predicts each fold by a network that is trained on the others.

    The probabilities are those that `find_label_errors` needs.

    >>> report = predict_out_of_fold(network, source, config, k=2, verbose=False)
    >>> report.n  # the examples of all three splits
    128
    >>> errors = find_label_errors(report.labels, report.probabilities)

    Args:
        model: A network, as `Trainer` takes it.
        source: The examples; all of its splits are used.
        config: The settings of each of the k trainings.
        k: Number of folds, from 2 to 100: see `folds`.
        verbose: Whether to show progress.

    Returns:
        The `Report` of all examples, split by split, each in the order of the source. Each network has calibrated its
        own fold, so that the report as a whole has no temperature: its `temperature` of 1 leaves the probabilities as
        they are, and "uncalibrated" in its metrics says nothing of the networks.

    Raises:
        InputError: The examples cannot be divided into k folds, or the network cannot be trained on them.
    """
    positions, reports, sources = [], [], folds(source, k)
    for number in range(1, len(sources) + 1):
        fold = sources.pop(0)  # so that its images leave the memory
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
