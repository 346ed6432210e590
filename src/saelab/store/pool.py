"""A pool of rows for stores that do not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from saelab.store.batches import Acts, Batches
from saelab.store.store import Store


class Pool(NamedTuple):
    """A filled pool: `x`, `y` and `row` in ascending order of rows, and `order`, the pool's places in serving order."""

    x: Tensor
    y: Tensor
    row: Tensor
    order: Tensor


class PoolBatches(Batches):
    """Serves a split from memory-mapped shards.

    (seed, epoch) permutes the shards, each `pool_rows` rows of their chain make a pool, and a pool is served in random
    order. A rank reads its own rows only. While a pool is served, a thread fills the next one, so memory holds two
    pools of `pool_rows / world` float32 rows of each site. Without `shuffle`, rows come in the store's order.
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
        pool_rows: int = 262144,
    ) -> None:
        super().__init__(
            store,
            split=split,
            site=site,
            target_site=target_site,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            rank=rank,
            world=world,
            device=device,
        )
        if pool_rows < 1:
            raise ValueError(f"pool_rows={pool_rows} must be at least 1")
        self.pool_rows = pool_rows
        self.spare: list[tuple[Tensor, Tensor]] = []

    def order(self) -> dict[str, Any]:
        return {**super().order(), "pool_rows": self.pool_rows}

    def serve(self, epoch: int, first: int) -> Iterator[Acts]:
        batch, parts = first, []
        for pool in self.pools(epoch, first) if first < len(self) else ():
            done = 0
            while done < len(pool.order):
                low, high = self.places(batch)
                missing = high - low - sum(len(p.row) for p in parts)
                at = pool.order[done : done + missing]
                done += len(at)
                x = pool.x.index_select(0, at)  # a copy: the pool is filled anew while the batch is in use
                y = x if pool.y is pool.x else pool.y.index_select(0, at)
                parts.append(Acts(x, y, pool.row.index_select(0, at)))
                if len(at) == missing:
                    yield self.join(parts)
                    batch, parts = batch + 1, []

    def join(self, parts: list[Acts]) -> Acts:
        """One batch of what one or several pools gave to it, on the device."""
        x, row = (torch.cat([p[i] for p in parts]) if len(parts) > 1 else parts[0][i] for i in (0, 2))
        y = x if parts[0].y is parts[0].x else torch.cat([p.y for p in parts])
        x_there = x.to(self.device)
        return Acts(x_there, x_there if y is x else y.to(self.device), row.to(self.device))

    def pools(self, epoch: int, first: int) -> Iterator[Pool]:
        """The pools of an epoch, from the first place of batch `first` on."""
        start = self.places(first)[0]
        numbers = range(start // self.pool_rows, -(-self.rows // self.pool_rows))
        rooms = [self.room(), self.room()]
        with ThreadPoolExecutor(max_workers=1) as thread:
            waiting = thread.submit(self.fill, epoch, numbers[0], first, rooms[0])
            for i, number in enumerate(numbers):
                pool = waiting.result()
                if number + 1 in numbers:
                    waiting = thread.submit(self.fill, epoch, number + 1, first, rooms[(i + 1) % 2])
                yield pool
        self.spare += rooms

    def room(self) -> tuple[Tensor, Tensor]:
        """Memory for a pool, that of an epoch gone by if there is some: fresh memory is as slow as reading the rows."""
        if self.spare:
            return self.spare.pop()
        pool = min(self.pool_rows, self.rows)
        # A batch that the pool cuts may be this rank's in the greater part, and ranks' shares differ by a row.
        n = min(pool, (pool // self.batch_size + 2) * -(-self.batch_size // self.world) + 1)
        x = torch.empty(n, self.width)
        return x, x if self.target_site is None else torch.empty(n, self.target_width)

    def fill(self, epoch: int, number: int, first: int, room: tuple[Tensor, Tensor]) -> Pool:
        """This rank's rows of pool `number`, from batch `first` on."""
        low, high = number * self.pool_rows, min((number + 1) * self.pool_rows, self.rows)
        rows = self.chain(epoch, low, high)
        if self.shuffle:
            rows = rows[torch.from_numpy(self.random(epoch, 1, number).permutation(len(rows)))]
        size = self.batch_size
        batches = range(max(first, min(low // size, len(self) - 1)), min(-(-high // size), len(self)))
        mine = [(max(a, low) - low, min(b, high) - low) for a, b in map(self.places, batches)]
        row, order = torch.cat([rows[:0], *(rows[a:b] for a, b in mine if a < b)]).sort()
        x = self.store.read(self.split, self.site, row, out=room[0][: len(row)])
        y = x
        if self.target_site is not None:
            y = self.store.read(self.split, self.target_site, row, out=room[1][: len(row)])
        return Pool(x, y, row, order.argsort())

    def chain(self, epoch: int, low: int, high: int) -> Tensor:
        """The rows at places `low` to `high` of the shards laid end to end, in this epoch's order of shards."""
        shards = self.store.shards(self.split)
        starts = torch.tensor([0, *shards]).cumsum(0).tolist()
        turn = self.random(epoch, 0).permutation(len(shards)).tolist() if self.shuffle else range(len(shards))
        rows, place = [], 0
        for shard in turn:
            a, b = max(low - place, 0), min(high - place, shards[shard])
            if a < b:
                rows.append(torch.arange(starts[shard] + a, starts[shard] + b))
            place += shards[shard]
        return torch.cat(rows)
