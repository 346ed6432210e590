"""Which codes of a batch may be non-zero: rows of latents, and the same columns of rows."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Support:
    """The places of a `[b, s]` matrix that are kept, row by row (CSR): place j is (row, latent[j]).

    latent: `[nnz]` int64, the latents of row 0, then of row 1, ...; within a row in any order, none twice.
    offsets: `[b + 1]` int64, where each row begins; the last entry is nnz.
    """

    def __init__(self, latent: Int[Tensor, " n"], offsets: Int[Tensor, " b1"], width: int) -> None:
        self.latent, self.offsets, self.width = latent, offsets, width

    @classmethod
    def of_rows(cls, latent: Int[Tensor, "b k"], width: int) -> Support:
        """The same number of places in every row."""
        b, k = latent.shape
        return cls(latent.reshape(-1), torch.arange(0, b * k + 1, k, device=latent.device), width)

    @classmethod
    def of_places(cls, place: Int[Tensor, " n"], rows: int, width: int) -> Support:
        """Ascending flat places, row · width + latent."""
        row = place // width
        ends = torch.searchsorted(row, torch.arange(rows + 1, device=place.device))
        return cls(place - row * width, ends, width)

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return len(self.latent)

    @cached_property
    def row(self) -> Int[Tensor, " n"]:
        """The row of each place."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.latent))

    @cached_property
    def by_latent(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " s1"]]:
        """The order that sorts places by latent, their rows in that order, and where each latent begins in it."""
        order = self.latent.argsort()
        counts = torch.bincount(self.latent, minlength=self.width)
        begins = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        return order, self.row[order], begins

    def split(self, groups: list[int]) -> list[tuple[Int[Tensor, " m"], Support]]:
        """Groups of neighbouring latents: for each, which places are its own, and its support, latents from 0 on."""
        parts, start = [], 0
        for width in groups:
            inside = (self.latent >= start) & (self.latent < start + width)
            before = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
            places = inside.nonzero().squeeze(1)
            parts.append((places, Support(self.latent[places] - start, before[self.offsets], width)))
            start += width
        return parts

    def gather(self, dense: Float[Tensor, "b s"]) -> Float[Tensor, " n"]:
        """The kept entries of a matrix."""
        return dense.reshape(-1)[self.row * self.width + self.latent]

    def scatter(self, values: Float[Tensor, " n"]) -> Float[Tensor, "b s"]:
        """The matrix with these entries, and zeros elsewhere."""
        dense = values.new_zeros(self.rows * self.width)
        return dense.scatter(0, self.row * self.width + self.latent, values).view(self.rows, self.width)

    def sum_by_latent(self, values: Float[Tensor, " n"]) -> Float[Tensor, " s"]:
        """Σ over rows of each latent's entries."""
        return values.new_zeros(self.width).index_add(0, self.latent, values)
