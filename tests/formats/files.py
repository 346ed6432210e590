"""SAEs of ours that have seen data, and the formulas of other libraries as their documentation has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saelab import sae
from saelab.formats import read, rebuild, write

D_IN, D_SAE = 6, 16
SETTINGS: dict[str, dict[str, Any]] = {
    "ReLU": {},
    "TopK": {"k": 4},
    "BatchTopK": {"k": 4},
    "JumpReLU": {"target_l0": 4},
    "MatchingPursuit": {"k": 4},
    "AbsTopK": {"k": 4},
    "Gated": {},
    "PAnneal": {},
    "Matryoshka": {"k": 4},
    "Lagrangian": {"target_l0": 4},
    "MatryoshkaLagrangian": {"target_l0": 4},
}


def rows(n: int = 200, d: int = D_IN, seed: int = 1) -> Tensor:
    """Activations far from centred and far from unit scale."""
    generator = torch.Generator().manual_seed(seed)
    return 20 * torch.randn(n, d, generator=generator) + 10 * torch.arange(d).float()


X = rows(64) / 20


def ours(name: str, **settings: Any) -> sae.SAE:
    """An SAE of a class, initialised from data, whose weights have moved since."""
    torch.manual_seed(0)
    made: sae.SAE = getattr(sae, name)(**({"d_in": D_IN, "d_sae": D_SAE} | SETTINGS[name] | settings))
    x = rows(512)
    made.init_from_(x, rows(512, made.d_out, seed=2) if made.transcoder else None)
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            noise = 0.1 * torch.randn_like(parameter)
            parameter.add_(noise.abs() if key == "threshold" else noise)
    made.project_()
    return made.eval()


def there_and_back(made: sae.SAE, format_: str, path: Path) -> sae.SAE:
    """Written in a format, and read again."""
    write(made, format_, path)
    return rebuild(read(format_, path))[1]


def weights(*, seed: int = 0) -> dict[str, Tensor]:
    """Random float32 weights by the names W_enc `[d, s]`, W_dec `[s, d]`, b_enc, b_dec, and a threshold."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "W_enc": torch.randn(D_IN, D_SAE, generator=generator),
        "W_dec": torch.randn(D_SAE, D_IN, generator=generator),
        "b_enc": torch.randn(D_SAE, generator=generator),
        "b_dec": torch.randn(D_IN, generator=generator),
        "threshold": torch.rand(D_SAE, generator=generator),
    }


def top(pre: Tensor, k: int) -> Tensor:
    """The k largest of ReLU(pre) of each row, by a loop."""
    f = torch.zeros_like(pre)
    for row, code in zip(pre.relu(), f, strict=True):
        for i in sorted(range(len(row)), key=lambda i: -row[i])[:k]:
            code[i] = row[i]
    return f


def imported(format_: str, path: Path) -> sae.SAE:
    """What a library wrote, as one of ours."""
    return rebuild(read(format_, path))[1]


def assert_computes(made: sae.SAE, expected: Tensor) -> None:
    """Its output on `X`, to rounding."""
    torch.testing.assert_close(made(X), expected, rtol=2e-6, atol=2e-6 * expected.abs().max().item())
