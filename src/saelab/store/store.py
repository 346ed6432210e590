"""Reading a store."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from saelab.store.format import DTYPES, checksum, map_tensors, read_meta, shard_file


class Index(NamedTuple):
    """Where rows came from: `item` [n] int64 in the split of the source, `position` [n] int64 in the item or -1."""

    item: Tensor
    position: Tensor


class Store:
    """A complete store.

    Opening it checks that every file is there and has its size. The checksum of a file is checked once per `Store`,
    before anything of it is handed out; a file that fails is refused by name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.meta = read_meta(self.path)
        self.verified: set[str] = set()
        for name, entry in self.meta.files.items():
            file = self.path / name
            if not file.is_file():
                raise ValueError(f"{file} is missing; delete the store and extract it again")
            if (size := file.stat().st_size) != entry["bytes"]:
                raise ValueError(
                    f"{file} has {size} bytes, not {entry['bytes']}; delete the store and extract it again"
                )

    def __repr__(self) -> str:
        return f"Store({self.path}: {self.sites}, { ({s: self.rows(s) for s in self.splits}) }, {self.meta.dtype})"

    @property
    def hash(self) -> str:
        return self.meta.hash

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations on disk."""
        return DTYPES[self.meta.dtype]

    @property
    def sites(self) -> dict[str, int]:
        """Width of each site."""
        return self.meta.sites

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.meta.splits)

    def width(self, site: str) -> int:
        if site not in self.sites:
            raise ValueError(f"{self.path} has no site {site!r}; it has {', '.join(self.sites)}")
        return self.sites[site]

    def rows(self, split: str) -> int:
        return sum(self.shards(split))

    def shards(self, split: str) -> list[int]:
        """Number of rows of each shard of a split."""
        if split not in self.meta.splits:
            raise ValueError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}")
        return self.meta.splits[split].shards

    def mean(self, split: str, site: str) -> Tensor:
        """Mean of the rows: `[d]` float64."""
        self._check(split, site)
        return torch.tensor(self.meta.splits[split].stats[site].mean, dtype=torch.float64)

    def mean_square(self, split: str, site: str) -> float:
        """E‖x‖² over the rows."""
        self._check(split, site)
        return self.meta.splits[split].stats[site].square

    def variance(self, split: str, site: str) -> float:
        """E‖x - mean‖² over the rows."""
        self._check(split, site)
        return self.meta.splits[split].stats[site].variance

    def labels(self, split: str) -> dict[str, Tensor]:
        """Label families in row order: `[n]` int64 classes, or `[n, f]` float32 factors."""
        first = shard_file(split, "labels", 0)
        self.shards(split)
        return self._column(split, "labels") if first in self.meta.files else {}

    def classes(self, split: str) -> dict[str, tuple[str, ...]]:
        """Per family of class labels the names of its classes; their numbers where the store does not know names."""
        found: dict[str, tuple[str, ...]] = {}
        for family, y in self.labels(split).items():
            if y.ndim == 1 and not y.is_floating_point():
                names = self.meta.families.get(family, {}).get("names", [])
                found[family] = tuple(names) or tuple(str(c) for c in range(int(y.max()) + 1))
        return {family: names for family, names in found.items() if names}

    def index(self, split: str) -> Index:
        """Item and position of every row."""
        return Index(**self._column(split, "index"))

    def tensor(self, split: str, site: str, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """All rows in memory: `[n, d]`."""
        out = torch.empty(self.rows(split), self.width(site), dtype=dtype)
        start = 0
        for number, n in enumerate(self.shards(split)):
            out[start : start + n] = self.open_shard(split, f"acts/{site}", number)["acts"]
            start += n
        return out

    def read(self, split: str, site: str, rows: slice | Tensor, *, out: Tensor | None = None) -> Tensor:
        """Some rows, `[n, d]` float32 in the order asked for, through memory maps; `out` takes ascending ones only.

        Raises `ValueError` for a row the split does not have.
        """
        n, d = self.rows(split), self.width(site)
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(n))
        if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < n):
            raise ValueError(f"rows {int(rows.min())} to {int(rows.max())} asked of {self.path} {split}, which has {n}")
        if not (rows[1:] >= rows[:-1]).all():
            assert out is None, "only ascending rows can be read into a given tensor"
            ascending, order = rows.sort()
            return self.read(split, site, ascending).index_select(0, order.argsort())
        out = torch.empty(len(rows), d) if out is None else out
        starts = torch.tensor([0, *self.shards(split)]).cumsum(0)
        cuts = torch.searchsorted(rows, starts).tolist()
        for number, (low, high) in enumerate(pairwise(cuts)):
            if low < high:
                acts = self.open_shard(split, f"acts/{site}", number)["acts"]
                chosen = rows[low:high] - starts[number]
                if acts.dtype == out.dtype:
                    torch.index_select(acts, 0, chosen, out=out[low:high])
                else:
                    out[low:high] = acts.index_select(0, chosen)
        return out

    def open_shard(self, split: str, group: str, number: int) -> dict[str, Tensor]:
        """A shard's tensors, memory-mapped, after its checksum is known to be right. Not to be written to."""
        name = shard_file(split, group, number)
        if name not in self.verified:
            self._verify(name)
        return map_tensors(self.path / name)

    def verify(self) -> None:
        """Check every file's checksum; a `ValueError` names the first damaged one."""
        for name in self.meta.files:
            self._verify(name)

    def _verify(self, name: str) -> None:
        if checksum(self.path / name) != self.meta.files[name]["crc32"]:
            raise ValueError(f"{self.path / name} is damaged (wrong checksum); delete the store and extract it again")
        self.verified.add(name)

    def _column(self, split: str, group: str) -> dict[str, Tensor]:
        shards = [self.open_shard(split, group, number) for number in range(len(self.shards(split)))]
        return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}

    def _check(self, split: str, site: str) -> None:
        self.shards(split)
        self.width(site)
