"""Rings of eight parameters: a dense, continuous part of a picture with its ground truth."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.images import DIGITS, Epoch, ImageSource
from saelab.data.source import Family

FACTORS = ("size", "tx", "ty", "aspect", "rotation", "thickness", "brightness", "p_shape")
_CHUNK = 256  # pictures drawn at a time, so that the working memory stays in the processor's cache


class Loops(ImageSource):
    """Anti-aliased superelliptic rings, each with eight parameters drawn uniformly from their ranges.

        a = size aspect, b = size                  semi-axes in pixels
        (dx, dy) = pixel - centre - (tx, ty)
        u = cos(rotation) dx + sin(rotation) dy,   v = -sin(rotation) dx + cos(rotation) dy
        r = (|u/a|^p + |v/b|^p)^(1/p),   p = 2 exp(p_shape)
        pixel = brightness clip((thickness / 2R - |r - 1|) / (0.5 / R) + 0.5, 0, 1),   R = (a + b) / 2

    Without `antialias` a pixel is `brightness` or 0. Thickness is measured in r, so a ring is thicker along its long
    axis; it may lie partly outside the picture. `train` is drawn anew in every epoch; the other splits never change.

    Shapes: x `[b, 1, image_size, image_size]`, in [0, 1] unless `normalize`; family `loop` with the factors size, tx,
    ty, aspect, rotation, thickness, brightness, p_shape `[b, 8]` in their own units. y: `factors`, the eight scaled to
    [0, 1] by their ranges, `[b, 8]`; `onehot`, zeros `[b, 10]`, because a loop is no digit. It has no integer target:
    class 0 would be the digit 0.
    Errors: ValueError for an empty split, image_size < 1, a range that is not [low, high], size or thickness <= 0,
    aspect < 1, brightness outside [0, 1], p_shape outside [-7, 13], an unknown target.
    """

    family = "loop"

    def __init__(
        self,
        *,
        train_length: int = 60_000,
        val_length: int = 5_000,
        test_length: int = 10_000,
        image_size: int = 28,
        antialias: bool = True,
        size: tuple[float, float] = (3.0, 6.0),
        tx: tuple[float, float] = (-10.0, 10.0),
        ty: tuple[float, float] = (-10.0, 10.0),
        aspect: tuple[float, float] = (1.0, 3.0),
        rotation: tuple[float, float] = (0.0, math.tau),
        thickness: tuple[float, float] = (1.0, 4.0),
        brightness: tuple[float, float] = (0.5, 1.0),
        p_shape: tuple[float, float] = (0.0, 2.0),
        target: Literal["factors", "onehot"] = "factors",
        normalize: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(normalize=normalize, seed=seed, device=device)
        checks.one_of("target", target, ("factors", "onehot"))
        checks.at_least("image_size", image_size, 1)
        self._sizes = {"train": train_length, "val": val_length, "test": test_length}
        for split, length in self._sizes.items():
            checks.at_least(f"{split}_length", length, 1)
        given = (size, tx, ty, aspect, rotation, thickness, brightness, p_shape)
        self.ranges = {name: checks.interval(name, pair) for name, pair in zip(FACTORS, given, strict=True)}
        checks.above("size", self.ranges["size"][0], 0)
        checks.above("thickness", self.ranges["thickness"][0], 0)
        checks.at_least("aspect", self.ranges["aspect"][0], 1)
        for bound in (0, 1):
            checks.within("brightness", self.ranges["brightness"][bound], 0, 1)
            checks.within("p_shape", self.ranges["p_shape"][bound], -7, 13)  # keeps p within [1e-3, 1e6]
        self.antialias = antialias
        self.input_shape = (1, image_size, image_size)
        self.families = {"loop": Family(factors=FACTORS)}
        self.target_kind = target
        self.n_out = len(FACTORS) if target == "factors" else len(DIGITS)
        self._low, high = torch.tensor(list(self.ranges.values()), device=self.device).unbind(1)
        self._span = high - self._low

    def size(self, split: str) -> int:
        self.check_split(split)
        return self._sizes[split]

    def pixels(self, split: str, index: Tensor, epoch: Epoch = 0) -> tuple[Tensor, Tensor]:
        item = rng.bits(rng.key("loops", self.seed, split), epoch if split == "train" else 0, index)
        slot = torch.arange(len(FACTORS), device=index.device)
        factors = self._low + self._span * rng.uniform(rng.bits(rng.key("factors"), item[:, None], slot))
        return draw_loops(factors, self.input_shape[-1], self.antialias)[:, None], factors

    def target(self, labels: Tensor) -> Tensor:
        if self.target_kind == "onehot":
            return labels.new_zeros(len(labels), self.n_out)
        return (labels - self._low) / self._span.clamp_min(torch.finfo(torch.float32).tiny)


def draw_loops(factors: Tensor, side: int, antialias: bool = True) -> Tensor:
    """The rings with parameters `factors` `[n, 8]`, in the order of FACTORS: `[n, side, side]` in [0, 1]."""
    pictures = factors.new_empty(len(factors), side, side)
    for rows, out in zip(factors.split(_CHUNK), pictures.split(_CHUNK), strict=True):
        _draw(rows, side, antialias, out)
    return pictures


def _draw(factors: Tensor, side: int, antialias: bool, out: Tensor) -> None:
    """Four transcendental functions a pixel: r = m (1 + q^p)^(1/p), with m the larger of |u/a|, |v/b|, and q <= 1."""
    size, tx, ty, aspect, rotation, thickness, brightness, p_shape = factors[..., None, None].unbind(1)
    long, p = size * aspect, p_shape.exp() * 2
    cos, sin = rotation.cos(), rotation.sin()
    tick = torch.arange(side, device=factors.device, dtype=factors.dtype) - (side - 1) / 2
    dx, dy = tick[None, None, :] - tx, tick[None, :, None] - ty
    # u and v are sums of a row term and a column term. 1e-9 keeps q finite where the centre is on a pixel.
    torch.add(dx * (cos / long) + 1e-9, dy * (sin / long), out=out)
    u = out.abs_()
    v = (dx * (-sin / size) + dy * (cos / size)).abs_()
    larger = torch.maximum(u, v)
    q = torch.minimum(u, v, out=v).div_(larger)
    # q^p as e^(p log q); log 0 = -inf is right, since e^-inf = 0. Not base 2: exp2's last bit depends on the batch.
    power = q.log_().mul_(p).exp_()
    r = power.log1p_().mul_(1 / p).exp_().mul_(larger)
    radius = (long + size) / 2
    slope = 2 * radius if antialias else torch.full_like(radius, 1e9)
    height = thickness / (2 * radius) * slope + 0.5
    torch.addcmul(height, r.sub_(1).abs_(), -slope, out=out)
    out.clamp_(0, 1).mul_(brightness)
