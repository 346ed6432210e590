"""A small network and source with known activations, and stores made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from saelab.store import Store, extract


class Digits:
    """`[b, 6]` inputs, classes and factors; counts how many batches were asked for."""

    def __init__(self, **sizes: int) -> None:
        self.sizes, self.asked = sizes or {"train": 101, "val": 23}, 0
        self.families = {
            "digit": SimpleNamespace(classes=tuple("01234"), factors=()),
            "tilt": SimpleNamespace(classes=(), factors=("a", "b")),
        }

    def size(self, split: str) -> int:
        return self.sizes[split]

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> SimpleNamespace:
        self.asked += 1
        x = torch.stack([torch.sin((i + 1.0) * torch.arange(1, 7) + len(split)) for i in index.tolist()])
        return SimpleNamespace(x=x, labels={"digit": index % 5, "tilt": torch.stack([index / 7.0, -index / 3.0], 1)})


class Net(nn.Module):
    """A first layer with an in-place ReLU, then tokens `[b, 4, 5]`, then an image `[b, 3, 2, 2]`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 20))
        self.sequence = nn.Unflatten(1, (4, 5))
        self.image = nn.Conv2d(1, 3, (3, 4))
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        h = self.sequence(self.net(x))
        return self.image(h[:, None])


def make(path: Path, net: nn.Module, source: Digits, **options: object) -> Store:
    """Extract with small shards unless told otherwise."""
    chosen: dict = {"sites": ["net.1:in", "net.1"], "shard_rows": 16, "batch_size": 10, "splits": [*source.sizes]}
    chosen |= {"recipe": {"what": "test"}, "progress": False, **options}
    return extract(net, source, path, **chosen)


def flat(lists: Iterable[list[int]]) -> list[int]:
    return [*itertools.chain.from_iterable(lists)]


def files(path: Path) -> dict[str, bytes]:
    """Content of every shard of a store."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*.safetensors"))}


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) - 20] ^= 1
    path.write_bytes(content)
