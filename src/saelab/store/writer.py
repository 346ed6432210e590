"""Writing a store: rows into shuffled shards, memory for one shard, and a log that a killed writer resumes from."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saelab.store.format import PROGRESS, Stats, checksum, map_tensors, shard_file, write_tensors, write_text

Chunk = dict[str, dict[str, Tensor]]  # group (`index`, `labels`, `acts/<site>`) -> tensor name -> [n, ...]


class Mark(NamedTuple):
    """Where to go on: the first `offset` rows of batch number `batch` are on disk."""

    batch: int
    offset: int


class Moments:
    """Running mean [d] and sum of squared distances from it, in float64, by pairwise merging (no cancellation)."""

    def __init__(self, width: int) -> None:
        self.n = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self.scatter = 0.0

    def add_(self, x: Tensor) -> None:
        for part in x.split(4096):
            rows = part.double()
            mean = rows.mean(0)
            delta, n = mean - self.mean, self.n + len(rows)
            self.scatter += ((rows - mean).square_().sum() + delta @ delta * (self.n * len(rows) / n)).item()
            self.mean += delta * (len(rows) / n)
            self.n = n

    def stats(self) -> Stats:
        variance = self.scatter / self.n
        return Stats(mean=self.mean.tolist(), square=variance + (self.mean @ self.mean).item(), variance=variance)


class Writer:
    """Spreads the rows of a split over a shard at random, writes each full shard, logs it.

    A row's place depends on (seed, split, shard, rows before it) only, so a resumed store has the same bytes.
    The log has a header, which must be the same for its shards to be kept, and a line per shard written.
    """

    def __init__(self, path: Path, *, header: dict[str, Any], shard_rows: int, seed: int) -> None:
        if shard_rows < 1:
            raise ValueError(f"shard_rows={shard_rows} must be at least 1")
        self.path, self.shard_rows, self.seed = path, shard_rows, seed
        self.moments: dict[tuple[str, str], Moments] = {}
        self.shards = self._kept(header)
        write_text(path / PROGRESS, "".join(json.dumps(line) + "\n" for line in [header, *self.shards]))

    def _kept(self, header: dict[str, Any]) -> list[dict[str, Any]]:
        """The shards on disk to keep: logged under the same header, whole, none missing before them."""
        if not (self.path / PROGRESS).is_file():
            if foreign := sorted(p.name for p in self.path.iterdir() if p.name not in (".lock", PROGRESS + ".tmp")):
                raise ValueError(f"{self.path} is not a store and holds {foreign[0]!r}; choose another path")
            return []
        lines = (self.path / PROGRESS).read_text().split("\n")[:-1]  # what follows the last newline was torn by a kill
        if json.loads(lines[0]) != json.loads(json.dumps(header)):
            for split in json.loads(lines[0])["request"]["splits"]:
                shutil.rmtree(self.path / split, ignore_errors=True)
            return []
        kept = []
        for shard in map(json.loads, lines[1:]):
            if not all(_whole(self.path / name, entry) for name, entry in shard["files"].items()):
                break
            for name in shard["files"]:
                if "/acts/" in name:
                    self._measure(shard["split"], name.split("/")[2], map_tensors(self.path / name)["acts"])
            kept.append(shard)
        return kept

    def begin(self, split: str) -> Mark:
        """Start or go on with a split; says where."""
        done = [shard for shard in self.shards if shard["split"] == split]
        self.split, self.number = split, len(done)
        self.buffers: Chunk = {}
        self._empty()
        return Mark(done[-1]["batch"], done[-1]["offset"]) if done else Mark(0, 0)

    def add(self, chunk: Chunk, mark: Mark) -> None:
        """Take the rows of a chunk; `mark` is where its first row came from."""
        shapes = {group: {name: (x.shape[1:], x.dtype) for name, x in c.items()} for group, c in chunk.items()}
        if not self.buffers:
            self.shapes = shapes
            self.buffers = {
                group: {name: torch.empty(self.shard_rows, *shape, dtype=dtype) for name, (shape, dtype) in c.items()}
                for group, c in shapes.items()
            }
        if shapes != self.shapes:
            raise ValueError(f"batch {mark.batch} of split {self.split!r} has {shapes}, those before it {self.shapes}")
        n, done = len(chunk["index"]["item"]), 0
        while done < n:
            part = slice(done, done + min(n - done, self.shard_rows - self.filled))
            slots = self.slots[self.filled : self.filled + part.stop - part.start]
            for group, tensors in chunk.items():
                for name, x in tensors.items():
                    self.buffers[group][name][slots] = x[part]
            self.filled += len(slots)
            done = part.stop
            if self.filled == self.shard_rows:
                self._write(Mark(mark.batch, mark.offset + done))

    def end(self, mark: Mark) -> None:
        """Write what is left of the split; `mark` is beyond its last row."""
        if self.filled:
            self._write(mark)

    def _write(self, mark: Mark) -> None:
        keep = self.slots[: self.filled].sort().values
        files = {}
        for group, buffers in self.buffers.items():
            full = self.filled == self.shard_rows
            tensors = {name: buffer if full else buffer[keep] for name, buffer in buffers.items()}
            name = shard_file(self.split, group, self.number)
            files[name] = write_tensors(self.path / name, tensors)
            if group.startswith("acts/"):
                self._measure(self.split, name.split("/")[2], tensors["acts"])
        shard = {"split": self.split, "rows": self.filled, **mark._asdict(), "files": files}
        with open(self.path / PROGRESS, "a") as log:
            log.write(json.dumps(shard) + "\n")
            log.flush()
            os.fsync(log.fileno())
        self.shards.append(shard)
        self.number += 1
        self._empty()

    def _empty(self) -> None:
        """Draw the places of the next shard's rows."""
        seed = [self.seed, zlib.crc32(self.split.encode()), self.number]
        self.slots = torch.from_numpy(np.random.default_rng(seed).permutation(self.shard_rows))
        self.filled = 0

    def _measure(self, split: str, folder: str, acts: Tensor) -> None:
        self.moments.setdefault((split, folder), Moments(acts.shape[1])).add_(acts)


def _whole(path: Path, entry: dict[str, int]) -> bool:
    return path.is_file() and path.stat().st_size == entry["bytes"] and checksum(path) == entry["crc32"]
