"""What a model of pixels makes of pictures, as arrays: both streams, their sum, the parts that were summed, samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saelab.analysis.separation import streams_of
from saelab.commands.feed import Feed
from saelab.commands.galleries import describe
from saelab.data import Combined
from saelab.data.images import MEAN, STD
from saelab.sae import SAE

SPLITS = ("test", "test_unseen")
SHOWN = 12  # pictures of a split, and samples


@torch.no_grad()
def pictures(given: Feed, sae: SAE) -> Mapping[str, Any]:
    """The first rows of each held-out split, `[splits, n, h, w]` each, in units of pixels.

    Arrays: `split`, `label`; `x`, `dense`, `sparse`, their sum `whole`; `part_<component>` where pictures are sums; and
    `prior`, `[n, h, w]`, what the model makes of codes drawn from its prior, if it has one.
    """
    source = given.source
    assert source is not None
    splits = [split for split in SPLITS if split in given.store.splits]
    unit, zero = (STD, MEAN) if getattr(source, "normalize", False) else (1.0, 0.0)
    arrays: dict[str, list[Any]] = {}
    for split in splits:
        x = given.store.read(split, given.site, slice(0, SHOWN))
        item = given.store.index(split).item[: len(x)]
        streams = streams_of(sae, x)
        constant_in_dense = streams.dense.any()  # of a model of one stream, it is in that one
        columns = {"x": x * unit + zero, "dense": streams.dense * unit, "sparse": streams.sparse * unit}
        columns["dense" if constant_in_dense else "sparse"] += zero
        columns["whole"] = columns["dense"] + columns["sparse"]
        if isinstance(source, Combined):
            columns |= {f"part_{name}": part.cpu() * unit for name, part in source.placed(split, item).items()}
        labels = source.batch(split, item).labels
        found: dict[str, Any] = {name: _shaped(y, source.input_shape) for name, y in columns.items()}
        found["label"] = [describe(labels, source.families, i) for i in range(len(x))]
        for name, value in found.items():
            arrays.setdefault(name, []).append(value)
    whole: dict[str, Any] = {"split": splits}
    for name, values in arrays.items():
        n = min(len(value) for value in values)
        whole[name] = torch.stack([v[:n] for v in values]) if isinstance(values[0], Tensor) else _names(values, n)
    prior = getattr(sae, "prior", None)
    if prior is not None:
        drawn = prior(SHOWN, torch.Generator().manual_seed(0))
        whole["prior"] = _shaped(drawn * unit + zero, source.input_shape)
    return whole


def _shaped(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Rows as grey pictures `[n, h, w]`."""
    return rows.reshape(len(rows), *shape)[:, 0]


def _names(values: list[list[str]], n: int) -> np.ndarray:
    return np.array([names[:n] for names in values], dtype=np.str_)
