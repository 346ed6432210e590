"""Toy vectors as a source."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.source import Batch, Family, Source
from saelab.data.toy.amplitude import Kind
from saelab.data.toy.dense import SHAPES, check_shape, dense_basis, width
from saelab.data.toy.dictionary import dictionary, subspace_at
from saelab.data.toy.grid import product, sparse_product, to_grid
from saelab.data.toy.sizes import scale_for, sparse_dimensions
from saelab.data.toy.sparse import Mode, Rates, Sparse

Shape = Literal["uniform", "gaussian", "sphere", "ambient_gaussian", "torus", "swiss_roll", "lowfreq_dct"]


class Toy(Source):
    """Vectors that are a sparse sum of known directions, plus a dense signal of low dimension, plus noise.

        x = s V + z C + ε,   ε ~ N(0, noise_std² I_d)

    V `[n_features, d]`: unit rows, more of them than dimensions if you like (superposition); `dictionary`. C
    `[dense_dim, d]`: orthonormal rows; `dense_basis`. s >= 0 and z include `sparse_scale` and `dense_scale`.

    sparse: which features fire. `bernoulli`, each at its rate; `exactly_k`, k of them; `with_replacement`, k draws;
        `tree`, roots at `p_root`, one child of an active parent or none (`p_childless`), features in no tree at `p`.
    rates (bernoulli): all `p` if `equal`; `zipf`, from p_max to p_min by a power law.
    trees, branching, depth: the first features form trees, in bernoulli with the law's rates; see `Forest`.
    correlation, correlation_rank: roots and features in no tree fire together; see `Bernoulli`.
    amplitude, amplitude_mean, amplitude_std, amplitude_std_spread: see `Amplitude`. scale_by_parent: a child's is
        multiplied by its parent's over the parent's mean.
    decohere: steps that lower overlaps in V. sparse_dim: V spans a random subspace of so many dimensions only.
    dense: shape of z (`toy.dense`). dense_dim: null is the shape's own, 3, but 4 for a torus and d for one that fills
        the space. dense_energy: E‖z‖², whatever the shape, in place of dense_scale.
    angle: degrees between the dense subspace and V's, 0 shared, 90 orthogonal; above 0 sparse_dim is at most
        d - dense_dim, which is also what null means then. null: both are drawn at random.

    Batch.parts: `sparse` s `[b, n_features]`, `dense` z `[b, dense_dim]`. Family `dense`: the factors z. y: which
    features fire, `[b, n_features]`. `rates`: how often each does, exactly. `train` is drawn anew in every epoch.
    The toys of SynthSAEBench (Chanin & Garriga-Alonso 2026, arXiv 2602.14687), with a dense part.

    Errors: ValueError for a size, rate or scale out of range, and for arguments that exclude each other.
    """

    vectors = True

    def __init__(
        self,
        *,
        train_length: int = 50_000,
        val_length: int = 5_000,
        test_length: int = 10_000,
        d: int = 20,
        n_features: int = 100,
        sparse: Mode = "bernoulli",
        rates: Rates = "equal",
        p: float = 0.04,
        p_max: float = 0.4,
        p_min: float = 0.004,
        zipf_exponent: float = 0.5,
        k: int = 3,
        correlation: float = 0.0,
        correlation_rank: int = 8,
        trees: int = 0,
        branching: int = 3,
        depth: int = 1,
        p_root: float = 0.15,
        p_childless: float = 0.25,
        scale_by_parent: bool = False,
        amplitude: Kind = "constant",
        amplitude_mean: tuple[float, float] = (1.0, 1.0),
        amplitude_std: float = 0.0,
        amplitude_std_spread: float = 0.0,
        decohere: int = 0,
        sparse_dim: int | None = None,
        sparse_scale: float = 1.0,
        dense: Shape = "sphere",
        dense_dim: int | None = 0,
        dense_scale: float = 1.0,
        dense_energy: float | None = None,
        angle: float | None = None,
        noise_std: float = 0.0,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self._sizes = {"train": train_length, "val": val_length, "test": test_length}
        for split, length in self._sizes.items():
            checks.at_least(f"{split}_length", length, 1)
        checks.at_least("d", d, 1)
        checks.at_least("n_features", n_features, 0)
        checks.at_least("decohere", decohere, 0)
        checks.at_least("noise_std", noise_std, 0)
        checks.above("dense_scale", dense_scale, 0)
        dense_dim = width(dense, dense_dim, d)
        check_shape(dense, dense_dim, d)
        if dense_energy is not None:
            dense_scale = scale_for(dense_energy, dense, dense_dim, dense_scale)
        if n_features == dense_dim == 0:
            raise ValueError("n_features=0 and dense_dim=0 leave nothing but noise; raise one of them")
        m = sparse_dimensions(d, n_features, dense_dim, sparse_dim, angle)
        self.seed, self.device = seed, checks.usable_device(device)
        self._home = torch.device("cpu") if self.device.type == "mps" else self.device  # MPS has no float64
        self._sparse = Sparse(
            n_features=n_features,
            sparse=sparse,
            rates=rates,
            p=p,
            p_max=p_max,
            p_min=p_min,
            zipf_exponent=zipf_exponent,
            k=k,
            correlation=correlation,
            correlation_rank=correlation_rank,
            trees=trees,
            branching=branching,
            depth=depth,
            p_root=p_root,
            p_childless=p_childless,
            scale_by_parent=scale_by_parent,
            amplitude=amplitude,
            amplitude_mean=amplitude_mean,
            amplitude_std=amplitude_std,
            amplitude_std_spread=amplitude_std_spread,
            sparse_scale=sparse_scale,
            seed=seed,
        ).to(self._home)
        c = dense_basis(rng.key("toy", "dense basis", seed), dense, dense_dim, d)
        span = subspace_at(rng.key("toy", "subspace", seed), c, m, angle)
        v = dictionary(rng.key("toy", "dictionary", seed), n_features, span, decohere)
        self._directions = v.to(self._home), to_grid(c).float().to(self._home)
        self.dictionary, self.dense_basis = (directions.to(self.device) for directions in self._directions)
        self.dense, self.dense_scale, self.noise_std = dense, dense_scale, noise_std
        self.input_shape = (d,)
        self.families = {"dense": Family(factors=tuple(f"z{i}" for i in range(dense_dim)))} if dense_dim else {}
        self.n_out = n_features
        self.rates = self._sparse.rates

    def size(self, split: str) -> int:
        self.check_split(split)
        return self._sizes[split]

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Batch:
        self.check_index(split, index)
        index = index.to(self._home)
        item = rng.bits(rng.key("toy", self.seed, split), epoch if split == "train" else 0, index)
        v, c = self._directions
        s, z = self._sparse.draw(item), to_grid(SHAPES[self.dense](item, len(c)) * self.dense_scale)
        x = sparse_product(s, v) + product(z, c)
        if self.noise_std > 0:
            coordinate = torch.arange(self.input_shape[0], device=self._home)
            x += to_grid(rng.normal(rng.bits(rng.key("noise"), item[:, None], coordinate)) * self.noise_std)
        x, s, z, index = (t.to(self.device) for t in (x.float(), s, z, index))
        labels = {"dense": z} if self.families else {}
        return Batch(x, (s > 0).float(), index, labels, {"sparse": s, "dense": z})
