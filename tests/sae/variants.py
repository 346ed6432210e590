"""Every SAE variant that ships, built from its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from saelab.run import build
from saelab.sae import SAE, Step

MODELS = Path(__file__).parents[2] / "configs" / "model"
QUICK = {"hidden": 64, "encoder_hidden": [32, 32]}  # instead of what a variant's YAML says


def names() -> list[str]:
    """Every model config that holds an SAE for rows of any width: not for images alone, see `test_vae`."""
    files = [(file.stem, OmegaConf.load(file)) for file in sorted(MODELS.glob("*.yaml"))]
    return [stem for stem, model in files if "sae" in model and model.sae.get("net") != "conv"]


def spec(name: str, **changes: Any) -> dict[str, Any]:
    """The `sae` node of a model config, over what all have in common, with changes; interpolations follow these."""
    nodes = [OmegaConf.load(file).sae for file in (MODELS / "common" / "sae.yaml", MODELS / f"{name}.yaml")]
    small = {"d_in": 6, "d_sae": 16} | {key: value for key, value in QUICK.items() if key in nodes[1]}
    root = OmegaConf.create({"l0": 4, "d_dense": 16, "sae": OmegaConf.merge(*nodes, small | changes)})
    return OmegaConf.to_container(root.sae, resolve=True)  # type: ignore[return-value]


def make(name: str, *, seed: int = 0, **changes: Any) -> SAE:
    """A small SAE of a variant, initialised from data that is not centred and not of unit scale."""
    torch.manual_seed(seed)
    sae = build(spec(name, **changes))
    y = rows(512, sae.d_out, seed=2) if sae.transcoder else None
    sae.init_from_(rows(512, sae.d_in), y)
    return sae


def rows(n: int, d_in: int = 6, seed: int = 1) -> torch.Tensor:
    """Activations with a mean and a scale of their own."""
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, d_in, generator=generator) + torch.arange(d_in).float()


def loss_of(sae: SAE, step: Step) -> torch.Tensor:
    """The sum of a step's terms."""
    return torch.stack(list(sae.losses(step).values())).sum()


def train(sae: SAE, batches: list[torch.Tensor], *, lr: float = 1e-2) -> list[float]:
    """Plain training steps; the loss of each."""
    optimizer = torch.optim.Adam(sae.parameters(), lr=lr)
    losses = []
    for i, x in enumerate(batches):
        sae.anneal_(i / len(batches))
        step = sae.step(x)
        loss = loss_of(sae, step)
        optimizer.zero_grad()
        loss.backward()
        sae.project_grad_()
        optimizer.step()
        sae.project_()
        sae.track_(step)
        losses.append(loss.item())
    return losses
