"""Sparse autoencoders, one file a variant; plain torch."""

from saelab.sae.base import SAE
from saelab.sae.relu import ReLU
from saelab.sae.step import Dense, Step
from saelab.sae.topk import TopK

__all__ = ["SAE", "Dense", "ReLU", "Step", "TopK"]
