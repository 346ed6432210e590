"""Extraction: a source through a network into a store, every site in one forward pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from saelab.store.build import build, progress_bar
from saelab.store.columns import cast_rows, label_column
from saelab.store.format import DTYPES
from saelab.store.hooks import capture, evaluating
from saelab.store.store import Store
from saelab.store.tokens import Rows, Tokens, rows
from saelab.store.writer import Chunk, Mark, Writer


class Items(Protocol):
    """What extraction asks of a source; a batch has `x` [b, ...] and `labels`, a dict of [b] or [b, f] tensors."""

    def size(self, split: str) -> int: ...
    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Any: ...


def extract(
    net: nn.Module,
    source: Items,
    path: str | Path,
    *,
    sites: Sequence[str],
    splits: Sequence[str],
    recipe: dict[str, Any],
    tokens: Tokens = "all",
    dtype: str = "float32",
    shard_rows: int = 65536,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Store:
    """The store of a network's activations on a source; an existing one is reused, an unfinished one is finished.

    Items are visited in a random order fixed by the recipe and their rows are shuffled within a shard, so rows that lie
    together are unrelated. Memory holds one shard of every site, and a batch. All sites must give the same number of
    rows an item. `recipe`, plain JSON, must name all that determines the content: it is what the store is found by.
    """
    if len(set(sites)) < len(sites) or not sites:
        raise ValueError(f"sites={[*sites]} must be one or more different sites")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    sizes = {split: source.size(split) for split in splits}
    if not sizes or not all(sizes.values()):
        raise ValueError(f"splits={sizes} must name one or more splits, none of them empty")
    request = {
        "sites": list(sites),
        "tokens": tokens if isinstance(tokens, str) else list(tokens),
        "dtype": dtype,
        "splits": sizes,
    }

    def fill(writer: Writer) -> None:
        with _borrowed(net, device), progress_bar(shown=progress) as bar, capture(net, sites) as acts:
            for split, size in sizes.items():
                task = bar.add_task(split, total=size, rate="")
                seed = [writer.seed, zlib.crc32(split.encode())]
                batches = torch.from_numpy(np.random.default_rng(seed).permutation(size)).split(batch_size)
                start, seen = writer.begin(split), 0
                bar.update(task, completed=start.batch * batch_size)
                for number, items in enumerate(batches[start.batch :], start.batch):
                    batch = source.batch(split, items)
                    net(batch.x.to(device))
                    chunk = _chunk({site: acts[site] for site in sites}, batch.labels, items, tokens, DTYPES[dtype])
                    skip = start.offset if number == start.batch else 0  # rows of this batch that are on disk already
                    writer.add({g: {k: x[skip:] for k, x in c.items()} for g, c in chunk.items()}, Mark(number, skip))
                    seen += len(chunk["index"]["item"]) - skip
                    speed = seen / max(bar.tasks[task].elapsed or 0.0, 1e-3)
                    bar.update(task, advance=len(items), rate=f"{speed:,.0f} rows/s")
                writer.end(Mark(len(batches), 0))

    return build(
        Path(path),
        recipe=recipe,
        request=request,
        layout={"batch_size": batch_size, "shard_rows": shard_rows},
        source=type(source).__qualname__,
        names={name: [*(f.classes or f.factors)] for name, f in getattr(source, "families", {}).items()},
        fill=fill,
    )


def _chunk(
    acts: dict[str, Tensor], labels: dict[str, Tensor], items: Tensor, tokens: Tokens, dtype: torch.dtype
) -> Chunk:
    """A batch as the columns of a store."""
    found: dict[str, Rows] = {}
    for site, x in acts.items():
        try:
            found[site] = rows(x, tokens)
        except ValueError as error:
            raise ValueError(f"site {site!r}: {error}") from None
    per_item = {site: r.per_item for site, r in found.items()}
    if len({*per_item.values()}) > 1:
        raise ValueError(f"sites give different numbers of rows an item: {per_item}; use tokens=mean or two stores")
    n = next(iter(per_item.values()))
    position = torch.full((len(items) * n,), -1)
    for site, r in found.items():
        if (position >= 0).all() and (r.position >= 0).all() and not torch.equal(position, r.position):
            raise ValueError(f"tokens={tokens!r} means other positions at site {site!r}; use two stores")
        position = torch.maximum(position, r.position)
    chunk: Chunk = {f"acts/{site}": {"acts": cast_rows(r.x, dtype, name=f"site {site!r}")} for site, r in found.items()}
    chunk["index"] = {"item": items.repeat_interleave(n), "position": position}
    if labels:
        chunk["labels"] = {name: label_column(y).repeat_interleave(n, 0) for name, y in labels.items()}
    return chunk


@contextmanager
def _borrowed(net: nn.Module, device: str | torch.device) -> Iterator[None]:
    """The network on `device`, evaluating; given back as it was."""
    home = next((p.device for p in net.parameters()), torch.device("cpu"))
    try:
        net.to(device)
        with evaluating(net):
            yield
    finally:
        net.to(home)
