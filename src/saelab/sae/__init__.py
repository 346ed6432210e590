"""Sparse autoencoders, one file a variant; plain torch."""

from saelab.sae.base import SAE, Step
from saelab.sae.relu import ReLU
from saelab.sae.topk import TopK

__all__ = ["SAE", "ReLU", "Step", "TopK"]
