"""A small vision transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ViT(nn.Module):
    """Patches, a class token and learned positions through a pre-norm transformer; the head reads the class token.

    (Dosovitskiy et al. 2021, arXiv 2010.11929.) Each block is initialised on its own: `nn.TransformerEncoder` would
    copy one block's weights into all. Sites: `blocks.0` ... are `[b, 1 + patches, embed_dim]`, `norm` the last of them.
    Parameters: 803,338 with the defaults and ten classes.
    """

    def __init__(
        self,
        *,
        n_out: int,
        input_shape: Sequence[int] = (1, 28, 28),
        patch_size: int = 4,
        embed_dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu"] = "gelu",
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        if height % patch_size or width % patch_size:
            raise ValueError(f"patch_size {patch_size} does not divide the {height} x {width} image.")
        patches = (height // patch_size) * (width // patch_size)
        self.patch = nn.Conv2d(channels, embed_dim, patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.positions = nn.Parameter(torch.empty(1, 1 + patches, embed_dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    embed_dim,
                    heads,
                    int(embed_dim * mlp_ratio),
                    dropout,
                    activation,
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, n_out)
        for weight in (self.cls_token, self.positions, self.head.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.norm(self.blocks(self.dropout(tokens + self.positions)))[:, 0])
