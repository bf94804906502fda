"""The library's own networks by their names, under which a model file holds them."""

from collections.abc import Mapping
from types import MappingProxyType

from .cnn import CNN
from .network import Network
from .resnet import ResNet

NETWORKS: Mapping[str, type[Network]] = MappingProxyType({"CNN": CNN, "ResNet": ResNet})
