"""The library's own networks by their names, under which a model file holds them."""

from types import MappingProxyType

from .cnn import CNN
from .resnet import ResNet

NETWORKS = MappingProxyType({"CNN": CNN, "ResNet": ResNet})
