"""The loss over a whole split, term by term, exact whatever the batches and however many processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric


class Objective(Metric):
    """Sums of a loss's terms over rows; `compute` gives each one's mean, and `loss`, the sum of those that make it.

    So that a test reports what training minimised, with the same weights. The sums of processes are added before
    anything is divided. Which terms there are, the first batch says.
    """

    full_state_update = False
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.names: list[str] = []

    def update(self, terms: Mapping[str, Tensor], rows: int, besides: Mapping[str, Tensor]) -> None:
        """Add a batch: means over its rows, of the terms of the loss and of what is told besides them."""
        self.rows = self.rows + rows
        told = {"loss": torch.stack(list(terms.values())).sum(), **terms, **besides}
        for name, value in told.items():
            if name not in self.names:
                self.add_state(f"sum_{name}", self.rows.new_zeros(()), dist_reduce_fx="sum")
                self.names.append(name)
            setattr(self, f"sum_{name}", getattr(self, f"sum_{name}") + value.double() * rows)

    def compute(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"sum_{name}") / self.rows for name in self.names}
