"""An SAE in plain numbers: what our variants and every library's formats have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Kind = Literal["relu", "topk", "abs_topk", "jumprelu", "gated", "matching_pursuit"]


class Unsupported(ValueError):
    """What a format cannot express; its text says why."""


@dataclass(frozen=True)
class Plain:
    """pre = x W_enc + b_enc, f = act(pre), y_hat = f W_dec + b_dec (+ x W_skip), all in the user's units, float64.

    relu: f = ReLU(pre). topk: the k largest of ReLU(pre) in a row. abs_topk: the k of largest magnitude, signed.
    jumprelu: f = ReLU(pre) where pre > threshold. gated: f = 1[pre > 0] ReLU(exp(r_mag) · x W_enc + b_mag).
    matching_pursuit: k times, the atom of largest correlation is taken from what is left of x − b_dec; W_enc is W_decᵀ.

    Nothing is subtracted from x: where a library encodes x − b_dec, its bias is b_enc + b_dec W_enc, see `centred`.

    Args:
        k: codes of a row, for topk, abs_topk and matching_pursuit; for jumprelu what a BatchTopK was trained with.
        threshold: of each latent, for jumprelu.
        r_mag, b_mag: of each latent, for gated.
        layer_norm: whether x is a row standardised over its own entries (÷ n, not n − 1), and y_hat is put back.
        transcoder: whether y is another site.
        groups: sizes of nested groups of latents, for jumprelu, where it was trained as a Matryoshka.
        residual_threshold, stop_on_repeat: for matching_pursuit: a row ends once what is left of it is shorter than
            this, or after an atom has been taken a second time.
    """

    kind: Kind
    W_enc: Float[Tensor, "i s"]
    b_enc: Float[Tensor, " s"]
    W_dec: Float[Tensor, "s o"]
    b_dec: Float[Tensor, " o"]
    k: float | None = None
    threshold: Float[Tensor, " s"] | None = None
    r_mag: Float[Tensor, " s"] | None = None
    b_mag: Float[Tensor, " s"] | None = None
    W_skip: Float[Tensor, "i o"] | None = None
    layer_norm: bool = False
    transcoder: bool = False
    groups: tuple[int, ...] | None = None
    residual_threshold: float = 0.0
    stop_on_repeat: bool = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        """d_in, d_sae, d_out."""
        return len(self.W_enc), len(self.W_dec), len(self.b_dec)

    @property
    def row_norms(self) -> Float[Tensor, " s"]:
        """Norms of the decoder rows; 1 for a row of zeros."""
        norms = self.W_dec.norm(dim=1)
        return torch.where(norms > 0, norms, 1)

    @property
    def unit(self) -> bool:
        """Whether all decoder rows have norm one."""
        return bool(((self.row_norms - 1).abs() < 1e-5).all())

    def shifted(self, by: Float[Tensor, " i"]) -> Plain:
        """The same function, where the encoder is given x + by in place of x."""
        shift = by @ self.W_enc
        b_mag = None if self.b_mag is None or self.r_mag is None else self.b_mag - self.r_mag.exp() * shift
        return replace(self, b_enc=self.b_enc - shift, b_mag=b_mag)

    def centred(self) -> Plain:
        """The same function, where the encoder is given x − b_dec."""
        return self.shifted(-self.b_dec)

    def uncentred(self) -> Plain:
        """The inverse of `centred`: weights that were given x − b_dec, as a function of x."""
        return self.shifted(self.b_dec)

    def in_units(self, unit: float) -> Plain:
        """x ↦ y_hat(unit · x) / unit: the same weights, and biases and thresholds divided by `unit`."""
        return replace(
            self,
            b_enc=self.b_enc / unit,
            b_dec=self.b_dec / unit,
            threshold=None if self.threshold is None else self.threshold / unit,
            b_mag=None if self.b_mag is None else self.b_mag / unit,
            residual_threshold=self.residual_threshold / unit,
        )

    def scaled(self, factor: Float[Tensor, " s"]) -> Plain:
        """The same function, where each latent's code is `factor` times as large."""
        return replace(
            self,
            W_enc=self.W_enc * factor,
            b_enc=self.b_enc * factor,
            W_dec=self.W_dec / factor[:, None],
            threshold=None if self.threshold is None else self.threshold * factor,
            b_mag=None if self.b_mag is None else self.b_mag * factor,
        )

    def unit_rows(self) -> Plain:
        """The same function with decoder rows of norm one, where it has that form.

        Which latents are among the k largest depends on their scales, so a TopK has it only if its rows are of one
        norm; otherwise, and for matching pursuit, it is returned as it is.
        """
        norms = self.row_norms
        alone = self.kind in ("relu", "jumprelu", "gated")
        even = self.kind in ("topk", "abs_topk") and norms.max() - norms.min() < 1e-5 * norms.max()
        return self.scaled(norms) if alone or even else self

    def evaluate(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b o"]]:
        """f and y_hat by the formulas above, in float64; slow and plain, for checks."""
        x = x.double()
        mean, std = x.mean(1, keepdim=True), x.std(1, keepdim=True, unbiased=False)
        rows = (x - mean) / std if self.layer_norm else x
        f = self._codes(rows)
        y_hat = f @ self.W_dec + self.b_dec + (0 if self.W_skip is None else rows @ self.W_skip)
        return f, y_hat * std + mean if self.layer_norm else y_hat

    def _codes(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        pre = x @ self.W_enc + self.b_enc
        if self.kind == "matching_pursuit":
            return self._pursue(x - self.b_dec)
        if self.kind in ("topk", "abs_topk"):
            pre = pre.relu() if self.kind == "topk" else pre
            kept = pre.abs().topk(int(self.k or 0), dim=1).indices
            return torch.zeros_like(pre).scatter(1, kept, pre.gather(1, kept))
        if self.r_mag is not None and self.b_mag is not None:
            return (pre > 0) * (self.r_mag.exp() * (x @ self.W_enc) + self.b_mag).relu()
        return pre.relu() if self.threshold is None else pre.relu() * (pre > self.threshold)

    def _pursue(self, rest: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        f = rest.new_zeros(len(rest), len(self.W_dec))
        for row, code in zip(rest, f, strict=True):
            for _ in range(int(self.k or 0)):
                i = (self.W_dec @ row).argmax()
                again, c = bool(code[i] > 0), (self.W_dec[i] @ row).relu()
                code[i] += c
                row -= c * self.W_dec[i]
                if row.norm() < self.residual_threshold or (again and self.stop_on_repeat):
                    break
        return f
