"""A store as a LightningDataModule."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from saelab.store.batches import Acts, Batches, MemoryBatches
from saelab.store.pool import PoolBatches
from saelab.store.store import Store


class StoreData(L.LightningDataModule):
    """Activations of a site, and of a target site for a transcoder, as batches.

    A split of at most `memory_limit_gb` is held in memory on `device` (`auto`: where the trainer computes), a larger
    one is served through a pool of `pool_rows` rows. Only training batches are shuffled.
    """

    def __init__(
        self,
        *,
        store: Store,
        site: str,
        target_site: str | None = None,
        batch_size: int,
        seed: int = 0,
        memory_limit_gb: float = 4.0,
        pool_rows: int = 262144,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.d_in, self.d_out = store.width(site), store.width(target_site or site)
        self.store, self.site, self.target_site = store, site, target_site
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.memory_limit_gb, self.pool_rows = memory_limit_gb, pool_rows

    def loader(self, split: str, *, shuffle: bool = False) -> Batches:
        """The batches of any split of the store; of this process's share of them under a trainer."""
        options: dict[str, Any] = {
            "split": split,
            "site": self.site,
            "target_site": self.target_site,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": shuffle,
            "rank": self.trainer.global_rank if self.trainer else 0,
            "world": self.trainer.world_size if self.trainer else 1,
            "device": self._device(),
        }
        width = self.d_in + (self.d_out if self.target_site not in (None, self.site) else 0)
        if self.store.rows(split) * width * self.store.dtype.itemsize <= self.memory_limit_gb * 1e9:
            return MemoryBatches(self.store, **options)
        return PoolBatches(self.store, pool_rows=self.pool_rows, **options)

    def train_dataloader(self) -> Batches:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> Batches:
        return self.loader("val")

    def test_dataloader(self) -> Batches:
        return self.loader("test")

    def transfer_batch_to_device(self, batch: Acts, device: torch.device, dataloader_idx: int) -> Acts:
        """Move a batch; a target that is the input stays the same tensor, so it is not copied twice."""
        x = batch.x.to(device)
        return Acts(x, x if batch.y is batch.x else batch.y.to(device), batch.row.to(device))

    def _device(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
