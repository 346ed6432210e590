"""Random changes of pictures, for a whole batch at once; what is random is passed in.

All take and return pictures `[b, h, w]`. The gathers read through a strided view whose innermost runs are whole picture
rows: they move memory and compute no index of a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from saelab.data import rng


def random_shift(item: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Rows and columns to move by `[b]`, each uniform on {-most .. most}, from 64 random bits for each picture."""
    return rng.integers(item, -most, most + 1), rng.integers(item << 32, -most, most + 1)


def tile(pictures: Tensor) -> Tensor:
    """Each picture twice, side by side, `[b, h, 2 w]`: every cyclic shift of a row is now one run."""
    return torch.cat([pictures, pictures], dim=2)


def roll(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Roll each picture cyclically by its own `down` and `right` `[b]`."""
    return roll_tiled(tile(pictures), down, right)


def roll_tiled(tiled: Tensor, down: Tensor, right: Tensor, index: Tensor | None = None) -> Tensor:
    """`roll` of pictures that `tile` made wide: of all of them, or of those at `index` `[b]`."""
    h, w = tiled.shape[1], tiled.shape[2] // 2
    rows = torch.arange(h, device=tiled.device) + (-down).remainder_(h)[:, None]
    rows -= h * (rows >= h)
    return _runs(tiled, rows, (-right).remainder_(w), w, index)


def crop(pictures: Tensor, top: Tensor, left: Tensor, side: int, index: Tensor | None = None) -> Tensor:
    """The `side` x `side` window, with its corner at (`top`, `left`) `[b]`, of each picture or of those at `index`."""
    rows = torch.arange(side, device=pictures.device) + top[:, None]
    return _runs(pictures, rows, left, side, index)


def jitter(pictures: Tensor, down: Tensor, right: Tensor, most: int) -> Tensor:
    """Shift by up to `most` pixels; what leaves the picture is lost and zeros come in."""
    padded = pad(pictures, (most, most, most, most))
    return crop(padded, most - down, most - right, pictures.shape[-1])


def _runs(pictures: Tensor, rows: Tensor, start: Tensor, length: int, index: Tensor | None = None) -> Tensor:
    """`[b, r, length]`: of picture i, or `index[i]`, the rows `rows[i]` (`[b, r]`), from column `start[i]` on."""
    n, h, w = pictures.shape
    runs = pictures.as_strided((n, h, w - length + 1, length), (h * w, w, 1, 1))
    index = torch.arange(n, device=pictures.device) if index is None else index
    return runs[index[:, None], rows, start[:, None]]


def rotate(pictures: Tensor, angle: Tensor) -> Tensor:
    """Rotate counter-clockwise by `angle` `[b]` (radians) about the centre; bilinear, zeros outside.

    Square pictures only. Output pixel (x, y), y downwards, reads (x cos a - y sin a, x sin a + y cos a).
    """
    side = pictures.shape[-1]
    ticks = (torch.arange(side, device=pictures.device, dtype=torch.float32) * 2 + 1 - side) / side
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y = ticks[None, None, :], ticks[None, :, None]
    grid = pictures.new_empty(len(pictures), side, side, 2)
    torch.sub(x * cos, y * sin, out=grid[..., 0])  # straight into place: stacking in the last dimension is slow
    torch.add(x * sin, y * cos, out=grid[..., 1])
    return grid_sample(pictures[:, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]


def add_noise_(pictures: Tensor, std: float, item: Tensor) -> Tensor:
    """Add N(0, std^2) to every pixel and clamp to [0, 1]; `item` `[b]` holds 64 random bits for each picture."""
    pixel = torch.arange(pictures[0].numel(), device=pictures.device)
    noise = rng.normal(rng.bits(rng.key("pixel noise"), item[:, None], pixel)).view_as(pictures)
    return pictures.add_(noise, alpha=std).clamp_(0.0, 1.0)
