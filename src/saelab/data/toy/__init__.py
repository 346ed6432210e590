"""Toy vectors: a sparse part over known directions, a dense part on a known manifold, and noise."""

from saelab.data.toy.source import Toy

__all__ = ["Toy"]
