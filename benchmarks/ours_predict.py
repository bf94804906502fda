"""Bulk prediction by this library: `Classifier.predict_logits`. Freed memory is kept, as in all contestants."""

import sys

import numpy as np
from measuring import ROOT, serve
from same_weights import SameWeights, contestant, unit_of_images

sys.path.insert(0, str(ROOT))


def bulk(weights):
    from network_p import NetworkP

    from ai_library import CNN, Classifier
    from ai_library.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    weights, images = SameWeights(weights), unit_of_images()
    model = NetworkP() if weights.name == "P" else CNN(num_classes=9, features=weights.network.features)
    classifier = Classifier(model, weights.variables, tuple("abcdefghi"), images.shape[1:])

    def logits(batches):
        return np.concatenate(list(classifier.predict_logits(batches)))

    weights.check(logits([weights.images, images])[: len(weights.images)])  # too few by themselves would go by numpy
    serve(lambda count: logits([images] * count))


if __name__ == "__main__":
    contestant(bulk=bulk)
