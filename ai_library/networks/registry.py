"""The library's own networks, by the names that model files use for them."""

from collections.abc import Mapping
from types import MappingProxyType

from .cnn import CNN
from .network import Network
from .resnet import ResNet

NETWORKS: Mapping[str, type[Network]] = MappingProxyType({"CNN": CNN, "ResNet": ResNet})
