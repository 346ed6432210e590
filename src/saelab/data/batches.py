"""Batches of a source in a fixed order: sharded over ranks, resumable in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from saelab.data import rng

if TYPE_CHECKING:
    from saelab.data.source import Batch, Source


class Batches:
    """Iterates a split in global batches of `batch_size`, of which this rank gets its share.

    The order is 0..n-1, or with `shuffle` the permutation that (source.seed, split, epoch) fixes. Over all ranks every
    item comes exactly once and every rank gets the same number of batches, none empty: a global batch of m rows gives
    rank r of w the rows [r*m/w, (r+1)*m/w), and a last batch of fewer than w rows joins the one before it. So a run
    sees the same global batches whatever the number of ranks.

    `state_dict` says how many batches of which epoch were handed out; after `load_state_dict` iteration goes on there.
    Lightning calls `sampler.set_epoch` before each epoch. Rank and world size come from torch.distributed unless given.
    Raises ValueError for a batch or a split with fewer rows than ranks, and for the state of another loader.
    """

    batch_sampler = None  # Lightning asks for it wherever there is a `sampler`

    def __init__(
        self,
        source: Source,
        split: str,
        *,
        batch_size: int,
        shuffle: bool,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.source, self.split, self.batch_size, self.shuffle = source, split, batch_size, shuffle
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._handed_out = 0
        self._skip = 0  # batches of this epoch that were handed out before the stop

    @property
    def sampler(self) -> Batches:
        return self

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self._handed_out = self._skip = 0
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._edges(self._shard()[1])) - 1

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing here runs before the first `next`, which Lightning calls after `set_epoch`.
        rank, world_size = self._shard()
        edges = self._edges(world_size)
        epoch, order = self.epoch, self._order()
        self._handed_out, self._skip = self._skip, 0
        for start, end in zip(edges[self._handed_out :], edges[self._handed_out + 1 :], strict=False):
            rows = order[start:end]
            share = rows[rank * len(rows) // world_size : (rank + 1) * len(rows) // world_size]
            self._handed_out += 1
            yield self.source.batch(self.split, share, epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "handed_out": self._skip or self._handed_out, **self._identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, mine in self._identity().items():
            if state_dict[name] != mine:
                raise ValueError(
                    f"cannot resume: the checkpoint was made with {name}={state_dict[name]}, this run has {mine}; "
                    "set it back, or start a new run from the weights alone"
                )
        self.epoch = state_dict["epoch"]
        self._skip = state_dict["handed_out"]

    def _identity(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "rows": self.source.size(self.split),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.source.seed,
        }

    def _order(self) -> torch.Tensor:
        n = self.source.size(self.split)
        if not self.shuffle:
            return torch.arange(n)
        return rng.permutation(rng.key("order", self.source.seed, self.split), n, self.epoch)

    def _shard(self) -> tuple[int, int]:
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1

    def _edges(self, world_size: int) -> list[int]:
        """Where the global batches begin, and the end of the last."""
        n = self.source.size(self.split)
        if min(self.batch_size, n) < world_size:
            raise ValueError(
                f"batch_size={self.batch_size} over the {n} rows of {self.split!r} cannot feed {world_size} ranks; "
                f"batch_size counts the rows of all ranks together: use at least {world_size}, or fewer ranks"
            )
        edges = [*range(0, n, self.batch_size), n]
        if len(edges) > 2 and edges[-1] - edges[-2] < world_size:
            del edges[-2]
        return edges
