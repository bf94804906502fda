"""`evaluate` counts every example of a split exactly once, for a classifier of the same classes."""

import numpy as np
import pytest

from ai_library import InputError, ShapeDataSource, evaluate


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 7, 128])
def test_batch_size_changes_no_figure(classifier, source, batch_size):
    report, wanted = evaluate(classifier, source, batch_size=batch_size), evaluate(classifier, source, batch_size=201)
    assert report.n == 201
    np.testing.assert_array_equal(report.labels, wanted.labels)
    np.testing.assert_array_equal(report.probabilities, wanted.probabilities)
    assert report.metrics() == wanted.metrics()


def test_a_model_for_other_classes_is_refused(classifier):
    with pytest.raises(InputError, match="made for the classes circle, rectangle, star, but the data has star, cross"):
        evaluate(classifier, ShapeDataSource(image_size=32, class_names=("star", "cross")))


def test_a_batch_size_that_is_none_is_refused(classifier, source):
    with pytest.raises(InputError, match="batch_size must be a whole number from 1 to 2,147,483,648, got 0"):
        evaluate(classifier, source, batch_size=0)
