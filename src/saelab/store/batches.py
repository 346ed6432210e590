"""Serving a store in batches: from memory, or through a pool that is filled from memory-mapped shards.

Both fix the order of the rows by (seed, epoch). Batch g of b rows holds those at places g·b to (g+1)·b of that order,
whatever the number of processes W, and rank r takes the r-th part of it. The last batch is shared evenly; fewer than W
rows left over join the one before. So every rank has the same number of batches, none of them empty, and
every row is served once an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saelab.store.store import Store


class Acts(NamedTuple):
    """A batch of activations.

    x: `[b, d]` float32. y: the target, `[b, d_out]` float32: x itself (the same tensor), or the target site's rows.
    row: `[b]` int64, the rows' numbers in their split.
    """

    x: Tensor
    y: Tensor
    row: Tensor


class Batches:
    """What both servers share: who gets which places of the order, and where a resumed run goes on.

    Lightning calls `loader.sampler.set_epoch` before an epoch and saves `state_dict` of the training loader in its
    checkpoints; after `load_state_dict` the next iteration serves the rest of the epoch.
    """

    def __init__(
        self,
        store: Store,
        *,
        split: str,
        site: str,
        target_site: str | None = None,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self.rows = store.rows(split)
        self.width, self.target_width = store.width(site), store.width(target_site or site)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        if not 0 <= rank < world:
            raise ValueError(f"rank={rank} must lie in 0 to world-1, and world={world}")
        if min(self.rows, batch_size) < world:
            raise ValueError(
                f"batch_size={batch_size} over the {self.rows} rows of {split!r} cannot feed {world} processes; it "
                f"counts the rows of all of them together: use at least {world}, or fewer processes"
            )
        self.store, self.split, self.site = store, split, site
        self.target_site = None if target_site == site else target_site
        self.batch_size, self.seed, self.shuffle, self.rank, self.world = batch_size, seed, shuffle, rank, world
        self.device = torch.device(device)
        self.epoch = self.batch = self.start = 0

    def __len__(self) -> int:
        full, rest = divmod(self.rows, self.batch_size)
        return full + (rest >= self.world)

    def __iter__(self) -> Iterator[Acts]:
        # a generator: nothing happens before the first batch is asked for, so set_epoch may follow iter()
        self.batch, self.start = self.start, 0
        for acts in self.serve(self.epoch, self.batch):
            self.batch += 1
            yield acts

    def serve(self, epoch: int, first: int) -> Iterator[Acts]:
        """The batches of an epoch from number `first` on."""
        raise NotImplementedError

    def places(self, batch: int) -> tuple[int, int]:
        """From where to where this rank's batch lies in the order of the epoch."""
        low = batch * self.batch_size
        n = self.rows - low if batch == len(self) - 1 else self.batch_size
        return low + self.rank * n // self.world, low + (self.rank + 1) * n // self.world

    def random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    batch_sampler = None  # Lightning looks for it on whatever has a sampler

    @property
    def sampler(self) -> Batches:
        return self

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.batch, self.start = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "batch": self.batch, "order": self.order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; `ValueError` if the rows would come in another order."""
        for name, mine in self.order().items():
            if state["order"].get(name) != mine:
                raise ValueError(f"cannot resume in mid-epoch: {name} was {state['order'].get(name)!r}, now {mine!r}")
        self.epoch, self.batch, self.start = state["epoch"], state["batch"], state["batch"]

    def order(self) -> dict[str, Any]:
        """Everything that says which rows are in which batch."""
        names = ("rows", "batch_size", "world", "seed", "shuffle")
        return {"store": self.store.hash, "split": self.split, **{name: getattr(self, name) for name in names}}


class MemoryBatches(Batches):
    """Serves a split that is held, in the store's dtype, on a device; every epoch is one permutation of all rows."""

    @cached_property
    def x(self) -> Tensor:
        return self.store.tensor(self.split, self.site, dtype=self.store.dtype).to(self.device)

    @cached_property
    def y(self) -> Tensor:
        if self.target_site is None:
            return self.x
        return self.store.tensor(self.split, self.target_site, dtype=self.store.dtype).to(self.device)

    def serve(self, epoch: int, first: int) -> Iterator[Acts]:
        order = torch.from_numpy(self.random(epoch).permutation(self.rows)).to(self.device) if self.shuffle else None
        for batch in range(first, len(self)):
            low, high = self.places(batch)
            if order is None:  # neighbours: no copy at all
                row, x, y = torch.arange(low, high, device=self.device), self.x[low:high], self.y[low:high]
            else:
                row = order[low:high].clone()
                x = self.x.index_select(0, row)
                y = x if self.y is self.x else self.y.index_select(0, row)
            x_float = x.float()
            yield Acts(x_float, x_float if self.y is self.x else y.float(), row)
