"""Import of a user's own array as a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saelab.store.build import build, progress_bar
from saelab.store.columns import cast_rows, label_column
from saelab.store.files import is_file, open_column, open_tensor
from saelab.store.format import DTYPES, checksum, recipe_hash
from saelab.store.store import Store
from saelab.store.truth import Truth, array_truth
from saelab.store.writer import Chunk, Mark, Writer

READ_ROWS = 8192  # rows taken from the array at a time


def array_recipe(
    array: str | Path,
    *,
    key: str | None = None,
    labels: dict[str, str] | None = None,
    items: str | None = None,
    splits: dict[str, float] | None = None,
    seed: int = 0,
    site: str = "acts",
    dtype: str = "float32",
) -> dict[str, Any]:
    """What determines the content of an imported store; files count by their content, not by their names."""
    columns = {"array": str(array), **{f"labels/{k}": v for k, v in (labels or {}).items()}, "items": items}
    files = {name: checksum(Path(v)) for name, v in columns.items() if v is not None and is_file(v)}
    tensors = {name: v for name, v in columns.items() if v is not None and not is_file(v)}
    chosen = {"splits": splits or DEFAULT_SPLITS, "seed": seed, "site": site, "dtype": dtype}
    return {"import": {"files": files, "tensors": tensors, "key": key, **chosen}}


DEFAULT_SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}


def import_array(
    array: str | Path,
    path: str | Path,
    *,
    key: str | None = None,
    labels: dict[str, str] | None = None,
    items: str | None = None,
    splits: dict[str, float] | None = None,
    seed: int = 0,
    site: str = "acts",
    dtype: str = "float32",
    shard_rows: int = 65536,
    recipe: dict[str, Any] | None = None,
    progress: bool = True,
) -> Store:
    """The store of a `[n, d]` array in a `.npy` file, or in a `.safetensors` file where `key` chooses among tensors.

    labels: per family a `.npy` file, or the name of a tensor in the array's file: `[n]` classes or `[n, f]` factors.
    items: the same, `[n]` integers; rows of one item stay in one split. By default each row is an item.
    splits: name to fraction of the items.

    The store's index has the item's number and, as position, the row's number in the array. The array is memory-mapped:
    memory holds one shard and, for the order of the rows, some bytes a row.
    """
    array, splits = Path(array), dict(splits or DEFAULT_SPLITS)
    if recipe is None:
        recipe = array_recipe(
            array, key=key, labels=labels, items=items, splits=splits, seed=seed, site=site, dtype=dtype
        )
    x = open_tensor(array, key)
    if x.ndim != 2 or not x.is_floating_point() or not x.numel():
        raise ValueError(f"{array} holds {x.dtype} of shape {[*x.shape]}; it takes a float [rows, width]")
    columns = {name: open_column(array, where, len(x)) for name, where in (labels or {}).items()}
    item = torch.arange(len(x)) if items is None else open_column(array, items, len(x)).long()
    members = _split_rows(item, splits, seed)

    def fill(writer: Writer) -> None:
        with progress_bar(shown=progress) as bar:
            for split, members_of in members.items():
                task = bar.add_task(split, total=len(members_of), rate="rows")
                start, batches = writer.begin(split), members_of.split(READ_ROWS)
                bar.update(task, completed=start.batch * READ_ROWS)
                for number, batch in enumerate(batches[start.batch :], start.batch):
                    skip = start.offset if number == start.batch else 0  # rows of this batch that are on disk already
                    rows = batch.sort().values[skip:]  # ascending, which a disk likes; the writer shuffles
                    if len(rows):
                        writer.add(_chunk(x, rows, item, columns, site, dtype, array), Mark(number, skip))
                    bar.update(task, advance=len(batch))
                writer.end(Mark(len(batches), 0))

    return build(
        Path(path),
        recipe=recipe,
        request={"sites": [site], "tokens": "all", "dtype": dtype, "splits": {s: len(m) for s, m in members.items()}},
        layout={"batch_size": READ_ROWS, "shard_rows": shard_rows},
        source=array.name,
        names={},
        fill=fill,
    )


def _chunk(
    x: Tensor, rows: Tensor, item: Tensor, columns: dict[str, Tensor], site: str, dtype: str, array: Path
) -> Chunk:
    picked = cast_rows(x[rows], DTYPES[dtype], name=f"{array} (rows {int(rows.min())} to {int(rows.max())})")
    chunk: Chunk = {f"acts/{site}": {"acts": picked}, "index": {"item": item[rows], "position": rows}}
    if columns:
        chunk["labels"] = {name: label_column(y[rows]) for name, y in columns.items()}
    return chunk


def _split_rows(item: Tensor, splits: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Row numbers of each split in random order, no item in two of them."""
    if any(f <= 0 for f in splits.values()) or abs(sum(splits.values()) - 1) > 1e-6:
        raise ValueError(f"splits={splits} must be positive fractions that add up to 1")
    random = np.random.default_rng(seed)
    distinct, which = item.unique(return_inverse=True)
    cuts = np.round(np.cumsum([0.0, *splits.values()]) * len(distinct)).astype(int)
    rank = torch.from_numpy(random.permutation(len(distinct)))
    order = torch.from_numpy(random.permutation(len(item)))
    place = rank[which[order]]
    members = {s: order[(place >= cuts[i]) & (place < cuts[i + 1])] for i, s in enumerate(splits)}
    if empty := [split for split, rows in members.items() if not len(rows)]:
        raise ValueError(f"{len(distinct)} items leave split {empty[0]!r} empty; change the fractions splits={splits}")
    return members


class Array:
    """A user's own `[n, d]` array as a source of activations: `data=array data.path=acts.npy`.

    path: a `.npy` file, or a `.safetensors` file where `key` chooses among tensors.
    dictionary, codes: the true directions `[t, width]` of which rows are sums, and the true codes `[rows, t]`, if there
        are any; see `array_truth`. An SAE is then compared with them.
    The rest: see `import_array`.
    """

    def __init__(
        self,
        *,
        path: str,
        key: str | None = None,
        labels: dict[str, str] | None = None,
        items: str | None = None,
        dictionary: str | None = None,
        codes: str | None = None,
        splits: dict[str, float] | None = None,
        seed: int = 0,
        site: str = "acts",
        dtype: str = "float32",
        shard_rows: int = 65536,
    ) -> None:
        self.array, self.shard_rows = path, shard_rows
        self.dictionary, self.codes = dictionary, codes
        self.content = {"key": key, "labels": labels, "items": items, "splits": splits, "seed": seed}
        self.content |= {"site": site, "dtype": dtype}

    def store(self, stores: Path) -> Store:
        """The array's store, below `stores` by the hash of its content; imported when it is not there."""
        recipe = array_recipe(self.array, **self.content)
        path = stores / recipe_hash(recipe)
        return import_array(self.array, path, **self.content, shard_rows=self.shard_rows, recipe=recipe)

    def truth(self) -> Truth | None:
        """The true features, if their file is named."""
        return array_truth(Path(self.array), self.content["key"], self.dictionary, self.codes)
