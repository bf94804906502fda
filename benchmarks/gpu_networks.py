"""Networks and images of the GPU benchmarks: the library's two networks, on images of the sizes of shapes and MNIST."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """A network on images of one kind."""

    network: str
    """ "CNN" or "ResNet", of the library."""
    data: str
    side: int
    classes: int
    patch: int
    features: tuple[int, ...]

    @property
    def arguments(self):
        """The arguments of the network."""
        return {"num_classes": self.classes, "features": self.features, "patch": self.patch}

    def images(self, count):
        """Random images (count, side, side, 1) uint8 and labels (count,) int32."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (count, self.side, self.side, 1), np.uint8)
        return images, rng.integers(0, self.classes, count, np.int32)


_CNN, _RESNET = (32, 64, 64, 128, 128), (32, 64, 128)
CASES = {
    f"{network} {data}": Case(network, data, side, classes, patch, features)
    for data, side, classes, patch in (("shapes", 64, 9, 4), ("MNIST", 28, 10, 2))
    for network, features in (("CNN", _CNN), ("ResNet", _RESNET))
}
STEPS = 100
"""Steps of training in a unit of work."""
PREDICTED = 20_480
"""Images that are predicted in a unit of work."""
RESIDENT = 20_000
"""Images in the device's memory, of which training takes batches in random order."""
