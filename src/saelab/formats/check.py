"""Whether two SAEs compute the same: what `export` and `import` say in their closing line."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.formats.plain import Plain
from saelab.sae import SAE

SPREAD = (0.3, 1.0, 3.0)  # rows are drawn at these multiples of the data's scale
SCALES = (1.0, 10.0, 100.0, 1e3, 1e4)  # of data, where an SAE does not say


class Agreement(NamedTuple):
    """How two functions of the same rows differ."""

    difference: float  # the largest, of all entries of rows in which the same latents fire
    relative: float  # to the largest entry
    l0: float  # latents that fire, mean over rows
    moved: int  # rows in which other latents fire: pre-activations within rounding of a threshold, or of each other
    rows: int

    @property
    def close(self) -> bool:
        """Within what float32 weights allow."""
        return self.relative < 1e-4 and self.moved <= 0.01 * self.rows

    def __str__(self) -> str:
        moved = f"; in {self.moved} of them a latent at its threshold fires in one only" if self.moved else ""
        return (
            f"max difference {self.difference:.2g}, {self.relative:.2g} of the largest output, "
            f"on {self.rows} random rows with {self.l0:.1f} codes each{moved}"
        )


def agreement(f: Tensor, y: Tensor, other_f: Tensor, other_y: Tensor) -> Agreement:
    """Compare codes by which are not zero, and outputs by value."""
    moved = ((f != 0) != (other_f != 0)).any(1)
    apart = (y.double() - other_y.double()).abs()[~moved]
    largest = float(y.abs().max().clamp_min(1e-30))
    difference = float(apart.max()) if len(apart) else 0.0
    return Agreement(difference, difference / largest, float((f != 0).sum() / len(f)), int(moved.sum()), len(f))


@torch.no_grad()
def agree(a: SAE, b: SAE, x: Float[Tensor, "n i"]) -> Agreement:
    """Compare two SAEs in eval mode."""
    f, other = a.encode(x), b.encode(x)
    return agreement(f, a.decode(f, x), other, b.decode(other, x))


@torch.no_grad()
def agrees_with_plain(sae: SAE, p: Plain, x: Float[Tensor, "n i"]) -> Agreement:
    """Compare an SAE with the plain formula, evaluated in float64."""
    f = sae.encode(x)
    other_f, other_y = p.evaluate(x)
    return agreement(f, sae.decode(f, x), other_f, other_y)


@torch.no_grad()
def rows_like(sae: SAE, *, n: int = 512, seed: int = 0) -> Float[Tensor, "n i"]:
    """Random rows at the scale of the activations that an SAE is for: its own, or the first at which latents fire."""
    normal = torch.randn(n, sae.d_in, generator=torch.Generator().manual_seed(seed))
    normal = normal * torch.tensor(SPREAD).repeat(n // len(SPREAD) + 1)[:n, None]
    rows = normal
    for scale in SCALES:
        rows = scale * normal if sae.transcoder else scale * normal + sae.b_dec
        rows = rows if sae.norm.kind == "layer_norm" else sae.norm.inverse(rows)
        if (sae.encode(rows) != 0).any(1).float().mean() > 0.5:
            break
    return rows
