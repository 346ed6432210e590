"""Stores of activations: those of a network, or a source's own rows, vectors or the pixels of pictures."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from saelab.commands import build
from saelab.commands.outcome import announce, shown
from saelab.commands.recipe import rows_recipe
from saelab.config import ConfigError
from saelab.config.compose import plain
from saelab.data import Source
from saelab.store import Index, Store, Truth, extract, recipe_hash

ROWS = "x"  # the site of a source's own rows


def extracted(cfg: DictConfig, net: nn.Module, source: Source, recipe: dict[str, Any]) -> Store:
    """The store of a network's activations, found by its recipe or made; which of the two is said."""
    path = build.log_directory(cfg) / "stores" / recipe_hash(recipe)
    there = (path / "meta.json").exists()
    announce(f"store  {'[green]found[/]    ' if there else '[yellow]extracting[/]'} {shown(path)}")
    try:
        return extract(
            net,
            source,
            path,
            sites=list(cfg.store.sites),
            splits=source.splits,
            recipe=recipe,
            tokens=plain(cfg.store.tokens),
            dtype=cfg.store.dtype,
            shard_rows=cfg.store.shard_rows,
            batch_size=cfg.store.extract_batch_size,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
    except ValueError as error:
        raise ConfigError(f"store: {error}") from error


def own_rows(cfg: DictConfig) -> tuple[Store, Source]:
    """The store of a source's own vectors or flattened pictures, with no network between: the one site `x`."""
    if list(cfg.store.sites) != [ROWS]:
        raise ConfigError(
            f"'store.sites' is {list(cfg.store.sites)}, but without a base network the rows are stored as they are: "
            f"'store.sites=[{ROWS}]', or name a network, e.g. base=mlp."
        )
    source, recipe = build.source(cfg), rows_recipe(cfg)
    if not cfg.store.path:
        return extracted(cfg, nn.Sequential(OrderedDict({ROWS: nn.Flatten()})), source, recipe), source
    store = Store(cfg.store.path)
    if store.meta.recipe != json.loads(json.dumps(recipe)):
        raise ConfigError(f"'store.path' is {cfg.store.path}, which holds other rows than this data: set it to null.")
    return store, source


def truth_of(source: Source) -> Truth | None:
    """The directions that a source's vectors are sums of, and codes made again from the numbers of stored items."""
    if source.dictionary is None or not len(source.dictionary):
        return None

    def codes(split: str, index: Index) -> Tensor:
        return source.batch(split, index.item).parts["sparse"].cpu()

    def dense(split: str, index: Index) -> Tensor:
        return source.batch(split, index.item).parts["dense"].cpu()

    if source.dense_basis is None or not len(source.dense_basis):
        return Truth(source.dictionary.cpu(), codes)
    return Truth(source.dictionary.cpu(), codes, source.dense_basis.cpu(), dense)
