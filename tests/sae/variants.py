"""Every SAE variant that ships, built from its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from saelab.run import build
from saelab.sae import SAE

MODELS = Path(__file__).parents[2] / "configs" / "model"


def specs() -> dict[str, dict[str, Any]]:
    """Name to the `sae` node of every model config that has one."""
    nodes = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(MODELS.glob("*.yaml"))}
    return {name: node["sae"] for name, node in nodes.items() if "sae" in node}


def make(name: str, *, d_in: int = 6, d_sae: int = 16, seed: int = 0, **changes: Any) -> SAE:
    """A small SAE of a variant, initialised from data that is not centred and not of unit scale."""
    spec = specs()[name] | {"d_in": d_in, "d_sae": d_sae}
    if "k" in spec:
        spec["k"] = min(4, d_sae)
    torch.manual_seed(seed)
    sae = build(spec | changes)
    sae.init_from_(rows(512, d_in))
    return sae


def rows(n: int, d_in: int = 6, seed: int = 1) -> torch.Tensor:
    """Activations with a mean and a scale of their own."""
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, d_in, generator=generator) + torch.arange(d_in).float()
