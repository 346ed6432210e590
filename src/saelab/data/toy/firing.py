"""Which features of a toy fire on a row."""

from __future__ import annotations

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.toy.dictionary import gaussian
from saelab.data.toy.forest import Forest
from saelab.data.toy.grid import product, to_grid, unit


def equal_rates(n: int, p: float) -> Tensor:
    """p for every feature: `[n]` float64."""
    checks.within("p", p, 0, 1)
    return torch.full((n,), p, dtype=torch.float64)


def zipf_rates(n: int, p_max: float, p_min: float, exponent: float) -> Tensor:
    """p_i = p_min + (p_max - p_min) (i^-a - n^-a) / (1 - n^-a), i = 1..n: a power law stretched from p_max to p_min.

    `[n]` float64, descending (SynthSAEBench: Chanin & Garriga-Alonso 2026, arXiv 2602.14687).
    """
    checks.within("p_max", p_max, 0, 1)
    checks.within("p_min", p_min, 0, p_max)
    checks.above("zipf_exponent", exponent, 0)
    law = torch.arange(1, n + 1, dtype=torch.float64) ** -exponent
    last = law[-1:] if n > 1 else torch.zeros(1, dtype=torch.float64)
    return p_min + (p_max - p_min) * (law - last) / (1 - last)


class Bernoulli:
    """Each feature fires by chance: at its rate, in its tree, and more often with some features than with others.

        roots and features in no tree: fires_i = [g_i > Φ^-1(1 - p_i)],   g = sqrt(c) F ε + sqrt(1 - c) η

    with ε ~ N(0, I_r) common to all features, η ~ N(0, I_n), and F `[n, r]` fixed random unit rows: a Gaussian copula
    of rank r in which g_i and g_j have correlation c F_i · F_j, and every rate stays what it is. c = `correlation`;
    0 is independence. Children follow their parents (`Forest`).

    rates: how often each feature fires, `[n]`, exactly.
    """

    def __init__(
        self, rates: Tensor, given: Tensor, forest: Forest, *, correlation: float, rank: int, stream: int
    ) -> None:
        self.forest = forest
        self.rates = forest.marginal(rates, given)
        self._given, self._p = given.float(), rates.float()
        self._threshold = torch.special.ndtri(1 - rates).float()
        self.correlation = correlation
        self._loadings = unit(gaussian(stream, len(rates), rank)) if correlation else torch.empty(len(rates), 0)

    def to(self, device: torch.device) -> Bernoulli:
        for name in ("_given", "_p", "_threshold", "_loadings"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def draw(self, item: Tensor) -> Tensor:
        """`[b, n]` bool, from random bits `[b]` for each row."""
        n, device = len(self._p), item.device
        tree, free = self.forest.roots, slice(self.forest.size, n)
        drawn = torch.cat([torch.arange(s.start, s.stop, device=device) for s in (tree, free)])
        fires = torch.zeros(len(item), n, dtype=torch.bool, device=device)
        fires[:, drawn] = self._alone(item, drawn)
        self.forest.grow_(fires, self._given, item)
        return fires

    def _alone(self, item: Tensor, feature: Tensor) -> Tensor:
        """Whether features without a parent fire: `[b, m]`."""
        own = rng.bits(rng.key("fires"), item[:, None], feature)
        if not self.correlation:
            return rng.uniform(own) < self._p[feature]
        r = torch.arange(self._loadings.shape[1], device=item.device)
        common = to_grid(rng.normal(rng.bits(rng.key("common"), item[:, None], r)))
        shared = product(common, self._loadings[feature].T).float()
        g = shared * self.correlation**0.5 + rng.normal(own) * (1 - self.correlation) ** 0.5
        return g > self._threshold[feature]


class ExactlyK:
    """k features fire on every row, drawn uniformly without replacement; or with it, so that sometimes fewer do."""

    def __init__(self, n: int, k: int, *, replace: bool) -> None:
        checks.within("k", k, 1, n)
        self.n, self.k, self.replace = n, k, replace
        rate = 1 - (1 - 1 / n) ** k if replace else k / n
        self.rates = torch.full((n,), rate, dtype=torch.float64)

    def to(self, device: torch.device) -> ExactlyK:
        return self

    def draw(self, item: Tensor) -> Tensor:
        """`[b, n]` bool, from random bits `[b]` for each row."""
        stream = rng.key("fires")
        if self.replace:
            chosen = rng.integers(rng.bits(stream, item[:, None], torch.arange(self.k, device=item.device)), 0, self.n)
        else:
            chosen = rng.bits(stream, item[:, None], torch.arange(self.n, device=item.device)).topk(self.k).indices
        return torch.zeros(len(item), self.n, dtype=torch.bool, device=item.device).scatter_(1, chosen, True)
