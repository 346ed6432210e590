"""Comparing an SAE of ours with the same object of another library, and writing down how they compare."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch
from torch import Tensor

from saelab.sae import SAE, Step

PARITY = Path(__file__).parents[2] / "benchmarks" / "parity.md"
PACKAGES = {
    "sae_lens": "sae-lens",
    "dictionary_learning": "dictionary-learning",
    "sparsify": "eai-sparsify",
    "overcomplete": "overcomplete",
}
D_IN, D_SAE, ROWS = 12, 40, 64
INTRO = """# Parity with other libraries

Written by `make test-peers`. Weights are copied across, and inputs are the same random rows. Losses and gradients are
in float64: a number is the largest absolute difference; *times f* means that theirs is f times ours, checked as
sharply; *differs* comes with its reason, which a test has checked by itself. Exports and imports are in float32, by
what the libraries themselves load and save.
"""
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"


def library(name: str) -> ModuleType:
    """Import a library, or skip the module where it is not installed.

    overcomplete imports its image models and its plots with its SAEs. They need torchvision, OpenCV and scikit-image,
    and a matplotlib older than 3.9; nothing of them is compared, so empty modules stand in while it is imported.
    """
    unused = ("torchvision", "overcomplete.visualization") if name == "overcomplete" else ()
    absent = [module for module in unused if module not in sys.modules]
    sys.modules.update({module: mock.MagicMock() for module in absent})
    try:
        return pytest.importorskip(name, reason=f"{PACKAGES[name]} is not installed: make test-peers")
    finally:
        for module in absent:
            del sys.modules[module]


@dataclass
class Row:
    library: str
    object: str
    quantity: str
    result: str
    note: str


def _place(row: Row) -> tuple[bool, str]:
    """Losses before files, library by library."""
    return row.object.startswith(("export", "import")), row.library


class Table:
    """What was compared, in the order it was."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def same(self, where: tuple[str, str], quantity: str, ours: Tensor, theirs: Tensor, *, note: str = "") -> None:
        """Both are equal to rounding: a part in 10⁻⁶ of the largest entry."""
        apart, largest = (ours - theirs).abs().max().item(), theirs.abs().max().item()
        assert apart <= 1e-6 * max(largest, 1e-12), f"{where} {quantity}: {apart} apart of {largest}"
        self.rows.append(Row(*where, quantity, f"{apart:.1e}", note))

    def factor(
        self,
        where: tuple[str, str],
        quantity: str,
        ours: Tensor,
        theirs: Tensor,
        factor: float,
        *,
        said: str,
        note: str,
    ) -> None:
        """theirs = factor · ours, to rounding; `said` is the factor in words, `note` why."""
        apart, largest = (factor * ours - theirs).abs().max().item(), theirs.abs().max().item()
        assert apart <= 1e-6 * max(largest, 1e-12), f"{where} {quantity}: {apart} apart of {largest}, factor {factor}"
        assert abs(factor - 1) > 1e-3, f"{where} {quantity}: a factor of {factor} is none"
        self.rows.append(Row(*where, quantity, f"times {said} = {factor:.4g}", note))

    def differs(self, where: tuple[str, str], quantity: str, ours: Tensor, theirs: Tensor, *, note: str) -> None:
        """They differ for a reason that the test has checked by itself; `note` names it."""
        apart, largest = (ours - theirs).abs().max().item(), theirs.abs().max().item()
        assert apart > 1e-3 * largest, f"{where} {quantity}: only {apart} apart of {largest}"
        by = f"by {apart / largest:.0%}" if largest else f"{apart:.2g} beside 0"
        self.rows.append(Row(*where, quantity, f"differs, {by}", note))

    def gradients(self, where: tuple[str, str], ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
        """All gradients are equal; the largest difference is written down."""
        assert set(ours) == set(theirs)
        worst = 0.0
        for name, mine in ours.items():
            apart, largest = (mine - theirs[name]).abs().max().item(), theirs[name].abs().max().item()
            assert largest > 0, f"{where} gradient of {name} is zero"
            assert apart <= 1e-6 * largest, f"{where} gradient of {name}: {apart} apart of {largest}"
            worst = max(worst, apart)
        self.rows.append(Row(*where, f"gradients of {', '.join(ours)}", f"{worst:.1e}", ""))

    def said(self, where: tuple[str, str], quantity: str, result: str, note: str = "") -> None:
        """What a test has checked in its own way."""
        self.rows.append(Row(*where, quantity, result, note))

    def markdown(self) -> str:
        """The table, with what was compared in which versions."""
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES.values())
        lines = [
            INTRO,
            f"{versions}, torch {torch.__version__}.",
            "",
            "| library | object | quantity | result | note |",
            "|---|---|---|---|---|",
            *(
                f"| {r.library} | {r.object} | {r.quantity} | {r.result} | {r.note} |"
                for r in sorted(self.rows, key=_place)
            ),
        ]
        return "\n".join(lines) + "\n"


def data(d: int = D_IN, n: int = ROWS, seed: int = 5) -> Tensor:
    """Rows with a mean of their own, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + torch.linspace(-1, 1, d).double()


def randomised(sae: SAE, *, seed: int = 0, positive: bool = False) -> SAE:
    """Float64 and training mode, with weights that nothing special can be said about; biases too."""
    generator = torch.Generator().manual_seed(seed)
    sae = sae.double().train()
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
            if name in ("W_enc", "W_dec", "W_skip"):
                parameter.copy_(noise * 0.4)
            elif name == "threshold":
                parameter.copy_(noise.abs() * 0.3 + 0.1)
            else:
                parameter.copy_(noise * 0.2 + (2.0 if positive and name == "b_enc" else 0.0))
        sae.project_()
    return sae


def step_and_losses(sae: SAE, x: Tensor, y: Tensor | None = None) -> tuple[Step, dict[str, Tensor]]:
    step = sae.step(x, y)
    return step, sae.losses(step)


def gradients(loss: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients by name; zeros where there are none."""
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(parameters.items(), found, strict=True)
    }


def total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()
