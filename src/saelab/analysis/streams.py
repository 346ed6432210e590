"""Which part of the data is in which stream of a model: for data that is s V + z C + noise, with s and z known."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from saelab.analysis import oracle
from saelab.analysis.cca import held_out_cca
from saelab.analysis.leakage import shares


class Parts(NamedTuple):
    """Rows as a sparse and a dense part, in the data's space: f atoms + dense is the reconstruction.

    The truth is of this shape too: f = s, h = z, atoms = V, dense = z C. A model of one stream has no dense code,
    h `[n, 0]`, and its dense part is what does not come from codes: a constant, the decoder's bias.
    """

    f: Float[Tensor, "n s"]
    h: Float[Tensor, "n q"]
    atoms: Float[Tensor, "s d"]
    dense: Float[Tensor, "n d"]

    @property
    def sparse(self) -> Float[Tensor, "n d"]:
        return self.f @ self.atoms

    def of(self, rows: Bool[Tensor, " n"]) -> Parts:
        """Some of the rows."""
        return Parts(self.f[rows], self.h[rows], self.atoms, self.dense[rows])


def explained(y: Float[Tensor, "n d"], y_hat: Float[Tensor, "n d"]) -> float:
    """1 − Var(y − ŷ) / Var(y), whatever the bias; nan for y that does not vary."""
    return oracle.oracle_ev(oracle.spread(y), oracle.spread(y - y_hat)).item() if (y != y[:1]).any() else float("nan")


def stream_scores(x: Float[Tensor, "n d"], found: Parts, true: Parts, *, fit: Bool[Tensor, " n"]) -> dict[str, float]:
    """How well a model's parts are the true ones, on the rows outside `fit`; read-outs are linear, fitted inside.

    dense_r2, dense_cca: R² of z from the dense code, and the mean of its canonical correlations with z.
    z_in_sparse, z_leak, z_lost: R² of z from the sparse code; what that adds to the dense one; what neither has.
    s_in_sparse, s_in_dense, s_leak, s_lost: the same of s, which belongs in the sparse code.
    dense_ev, sparse_ev: of z C and s V, what the dense and the sparse part of the reconstruction explain as they are,
        with no read-out but a bias; below 0 for a part that has more of the other in it than of its own.
    ev, l0, dead: of x; codes a row; the share of codes that never fire.

    One stream or two, z_in_sparse, z_lost, s_in_sparse, s_lost, ev and sparse_ev compare. Of one stream, dense_r2,
    dense_cca and dense_ev are 0, as there is nothing to read; z_leak is z_in_sparse, s_leak is 0.
    """
    z = shares(found.h, found.f, true.h, fit=fit)
    s = shares(found.f, found.h, true.f, fit=fit)
    fires = found.f[~fit] != 0
    return {
        "dense_r2": z.own,
        "dense_cca": held_out_cca(found.h, true.h, fit=fit).mean().item(),
        "z_in_sparse": z.other,
        "z_leak": z.leak,
        "z_lost": z.lost,
        "s_in_sparse": s.own,
        "s_in_dense": s.other,
        "s_leak": s.leak,
        "s_lost": s.lost,
        "dense_ev": explained(true.dense[~fit], found.dense[~fit]),
        "sparse_ev": explained(true.sparse[~fit], found.sparse[~fit]),
        "ev": explained(x[~fit], (found.sparse + found.dense)[~fit]),
        "l0": fires.double().sum(1).mean().item(),
        "dead": 1 - fires.any(0).double().mean().item(),
    }
