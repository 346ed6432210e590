"""The sparse part of a toy: which features fire on a row, and how strongly."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.toy.amplitude import Amplitude, Kind
from saelab.data.toy.firing import Bernoulli, ExactlyK, equal_rates, zipf_rates
from saelab.data.toy.forest import Forest
from saelab.data.toy.grid import STEP, to_grid

Mode = Literal["bernoulli", "exactly_k", "with_replacement", "tree"]
MODES = ("bernoulli", "exactly_k", "with_replacement", "tree")
Rates = Literal["equal", "zipf"]


class Sparse:
    """Codes s `[b, n_features]`, at least 0, of which few are not. The arguments are those of `Toy`."""

    def __init__(
        self,
        *,
        n_features: int,
        sparse: Mode,
        rates: Rates,
        p: float,
        p_max: float,
        p_min: float,
        zipf_exponent: float,
        k: int,
        correlation: float,
        correlation_rank: int,
        trees: int,
        branching: int,
        depth: int,
        p_root: float,
        p_childless: float,
        scale_by_parent: bool,
        amplitude: Kind,
        amplitude_mean: tuple[float, float],
        amplitude_std: float,
        amplitude_std_spread: float,
        sparse_scale: float,
        seed: int,
    ) -> None:
        check_modes(sparse, rates, correlation, trees, scale_by_parent)
        checks.within("p_childless", p_childless, 0, 1)
        checks.within("p_root", p_root, 0, 1)
        checks.within("correlation", correlation, 0, 0.999)
        checks.at_least("correlation_rank", correlation_rank, 1)
        checks.above("sparse_scale", sparse_scale, 0)
        n = n_features
        self.forest = Forest(trees=trees, branching=branching, depth=depth, n_features=n)
        self.scale_by_parent, self.scale = scale_by_parent, sparse_scale
        self.amplitude = Amplitude(
            n,
            kind=amplitude,
            mean=amplitude_mean,
            std=amplitude_std,
            std_spread=amplitude_std_spread,
            stream=rng.key("toy", "amplitude", seed),
        )
        if n and sparse in ("exactly_k", "with_replacement"):
            self.firing = ExactlyK(n, k, replace=sparse == "with_replacement")
            return
        law = zipf_rates(n, p_max, p_min, zipf_exponent) if n and rates == "zipf" else equal_rates(n, p)
        given = self.forest.conditioned(law, p_childless)
        if sparse == "tree":
            law[self.forest.roots] = p_root
            given[self.forest.roots.stop : self.forest.size] = (1 - p_childless) / branching
        stream = rng.key("toy", "correlation", seed)
        self.firing = Bernoulli(law, given, self.forest, correlation=correlation, rank=correlation_rank, stream=stream)

    @property
    def rates(self) -> Tensor:
        """How often each feature fires: `[n_features]` float64."""
        return self.firing.rates

    def to(self, device: torch.device) -> Sparse:
        self.firing.to(device)
        self.amplitude.to(device)
        return self

    def draw(self, item: Tensor) -> Tensor:
        """s `[b, n_features]` float32 on the grid, from random bits `[b]` for each row."""
        fires = self.firing.draw(item)
        row, feature = fires.nonzero(as_tuple=True)
        s = torch.zeros(fires.shape, device=item.device)
        s[row, feature] = self.amplitude.draw(item[row], feature)
        if self.scale_by_parent:
            mean = self.amplitude.mean
            for above, level in self.forest.pairs():
                s[:, level] *= (s[:, above] / mean[above]).repeat_interleave(self.forest.branching, dim=1)
        if self.scale_by_parent or self.scale != 1:
            s[row, feature] = to_grid(s[row, feature] * self.scale).clamp_min_(STEP)
        return s


def check_modes(sparse: str, rates: str, correlation: float, trees: int, scale_by_parent: bool) -> None:
    """Raises ValueError, with the fix, for choices that exclude each other."""
    checks.one_of("sparse", sparse, MODES)
    checks.one_of("rates", rates, ("equal", "zipf"))
    if sparse in ("exactly_k", "with_replacement"):
        told = {"rates": (rates, "equal"), "correlation": (correlation, 0.0), "trees": (trees, 0)}
        for name, (value, needed) in told.items():
            if value != needed:
                raise ValueError(f"{name}={value} has no meaning with sparse={sparse}; set {name}={needed}")
    if sparse == "tree" and rates != "equal":
        raise ValueError(
            f"rates={rates} has no meaning with sparse=tree, whose rates are p_root and p; set rates=equal"
        )
    if sparse == "tree" and trees == 0:
        raise ValueError("trees=0 leaves sparse=tree without a tree; set trees to 1 or more, or sparse=bernoulli")
    if scale_by_parent and trees == 0:
        raise ValueError("scale_by_parent=true needs parents; set trees to 1 or more, or scale_by_parent=false")
