"""Every example is predicted once, in its place, by a network that was trained on others."""

import numpy as np
import pytest

from ai_library import ArrayDataSource, TrainConfig, find_label_errors, predict_out_of_fold
from ai_library.tests.own_networks import Shallow

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.mark.slow
def test_flipped_labels_are_found_among_images_of_two_splits():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 240)
    images = rng.integers(0, 120, (240, 16, 16), np.uint8)
    images[true == 1, 4:12, 4:12] += 100
    labels, flipped = true.copy(), np.sort(rng.choice(240, 8, replace=False))
    labels[flipped] = 1 - labels[flipped]
    source = ArrayDataSource(train=(images[:200], labels[:200]), evaluation=(images[200:], labels[200:]))
    config = TrainConfig(epochs=12, batch_size=32, learning_rate=1e-2)
    report = predict_out_of_fold(Shallow(2), source, config, k=3, verbose=False)
    assert report.labels.tolist() == labels.tolist()
    found = find_label_errors(report.labels, report.probabilities).indices
    assert len(np.intersect1d(flipped, found)) >= 6
    assert len(found) <= 11
