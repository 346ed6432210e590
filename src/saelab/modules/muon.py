"""Muon for matrices, Adam for the rest, as one optimiser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer


class MuonAdam(Optimizer):
    """Matrices step by torch's Muon, everything else by Adam (Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982).

    Muon orthogonalises the momentum of a matrix, `lr` scaled so that an update has the root mean square of one of
    Adam's; biases and thresholds, which have no singular values, get Adam at the same `lr`. A schedule acts on both.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        params = list(params)
        matrices, others = [p for p in params if p.ndim == 2], [p for p in params if p.ndim != 2]
        muon = {"momentum": momentum, "weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
        self.parts: list[Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, lr=lr, **muon))  # type: ignore[arg-type]
        if others:
            self.parts.append(Adam(others, lr=lr, betas=betas))
        super().__init__(params, {"lr": lr})
        self.param_groups = [group for part in self.parts for group in part.param_groups]  # the parts' own, so shared
        self.state = defaultdict(dict)  # the parts keep theirs

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def state_of(self, parameter: Tensor) -> dict[str, Any]:
        """The moments of one parameter."""
        return next((dict(part.state[parameter]) for part in self.parts if parameter in part.state), {})
