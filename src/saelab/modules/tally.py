"""Metrics summed over a whole split, exact whatever the batches and however many processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from saelab import metrics
from saelab.kernels import Support


class Tally(Metric):
    """Sums of a reconstruction and its codes; `compute` gives EV, MSE, L0, L1, dead and the density of every latent.

    The sums of processes are added before anything is divided.
    """

    full_state_update = False

    def __init__(self, *, d_out: int, d_sae: int) -> None:
        super().__init__()
        shapes = {"rows": (), "error": (), "y": (d_out,), "y2": (), "l1": (), "fired": (d_sae,), "activity": (d_sae,)}
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, y: Tensor, y_hat: Tensor, f: Tensor, centre: Tensor, where: Support | None = None) -> None:
        for name, value in metrics.sums(y, y_hat, f, centre, where)._asdict().items():
            getattr(self, name).add_(value)

    def sums(self) -> metrics.Sums:
        return metrics.Sums(*(getattr(self, name) for name in metrics.Sums._fields))

    def compute(self) -> dict[str, Tensor]:
        s = self.sums()
        return {
            "ev": metrics.explained_variance(s),
            "mse": metrics.mse(s),
            "l0": metrics.l0(s),
            "l1": metrics.l1(s),
            "dead": metrics.dead(s),
            "density": metrics.density(s),
        }
