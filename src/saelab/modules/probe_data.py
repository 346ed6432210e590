"""A feature matrix and its labels as the one batch that a probe trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import lightning as L
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader

from saelab.data.source import Family


class ProbeBatch(NamedTuple):
    """Everything at once: features `[n, d]` and one column of classes per family, `[n, families]`, -1 for no label."""

    x: Float[Tensor, "n d"]
    y: Int[Tensor, "n f"]


class ProbeData(L.LightningDataModule):
    """A feature matrix with its labels, served as one full batch.

    features: `[n, d]`: raw activations, codes, or some columns of either.
    labels: per family `[n]` classes; a negative class means that the row has no label in this family.
    families: names of classes; those of continuous factors are left to `probe` and listed in `skipped`.
    groups: `[n]` numbers of what must not be split between training and test (the image a patch comes from).
    """

    def __init__(
        self,
        *,
        features: Tensor,
        labels: Mapping[str, Tensor],
        families: Mapping[str, Family],
        groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.families = {name: family for name, family in families.items() if family.classes}
        self.skipped = sorted(set(families) - set(self.families))
        if not self.families:
            raise ValueError(f"families={list(families)}: a probe needs at least one family with classes")
        for name, family in self.families.items():
            y = labels[name]
            if y.shape != features.shape[:1] or y.is_floating_point():
                raise ValueError(
                    f"labels[{name!r}]: {y.dtype} {tuple(y.shape)}; give whole numbers, one a row [{len(features)}]"
                )
            if y.max() >= len(family.classes):
                raise ValueError(f"labels[{name!r}] reach {int(y.max())}, but the family names {len(family.classes)}")
            if not (y >= 0).any():
                raise ValueError(f"labels[{name!r}] label no row: leave this family out")
        x = features.float()
        x = x.clone() if x.is_inference() else x  # autograd must be able to keep it
        self.batch = ProbeBatch(x, torch.stack([labels[n].long() for n in self.families], dim=1))
        self.groups = groups

    def train_dataloader(self) -> DataLoader[ProbeBatch]:
        # One batch, already in memory: a list is a dataset, and batch_size=None hands its items out as they are.
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]

    test_dataloader = train_dataloader
