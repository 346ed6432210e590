"""Base networks: plain modules from images to logits."""

from saelab.nets.convnet import ConvNet
from saelab.nets.mlp import MLP
from saelab.nets.vit import ViT

__all__ = ["MLP", "ConvNet", "ViT"]
