"""What determines the content of a base run, a store or an SAE run: the part of a config that is hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from saelab.config.compose import plain

# Where data lies, where it is computed, and how fast: not what comes out.
PLACES = {"dir", "device", "mirrors"}
TRAINING = {
    "max_epochs",
    "max_steps",
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "accumulate_grad_batches",
    "limit_train_batches",
    "limit_val_batches",
    "check_val_every_n_epoch",
    "val_check_interval",
    "overfit_batches",
    "fast_dev_run",
}
STORE = ("sites", "tokens", "dtype", "shard_rows")


def source_recipe(node: Any) -> Any:
    """A source without the places its files are in; the digits are the `bundled` ones or the `full` set."""
    if isinstance(node, Mapping):
        kept = {k: source_recipe(v) for k, v in node.items() if k not in PLACES}
        if "origin" in node:
            bundled = node["origin"] == "bundled" or (node["origin"] == "auto" and not node.get("dir"))
            kept["origin"] = "bundled" if bundled else "full"
        return kept
    return [source_recipe(v) for v in node] if isinstance(node, list) else node


def training_recipe(cfg: DictConfig) -> dict[str, Any]:
    """A model and how it is trained, whatever the device, the loggers and the progress bar."""
    trainer = plain(cfg.trainer)
    return {
        "model": plain(cfg.model),
        "batch_size": cfg.batch_size,
        "seed": cfg.seed,
        "trainer": {k: v for k, v in trainer.items() if k in TRAINING},
    }


def base_recipe(cfg: DictConfig) -> dict[str, Any]:
    """A base network: its source and its training."""
    return {"data": source_recipe(plain(cfg.data)), **training_recipe(cfg)}


def store_recipe(cfg: DictConfig, base: Mapping[str, Any]) -> dict[str, Any]:
    """A store: the base network, and what is read from it."""
    store = plain(cfg.store)
    return {"base": base, **{k: store[k] for k in STORE}}


def rows_recipe(cfg: DictConfig) -> dict[str, Any]:
    """A store of a source's own vectors: the source, and how they are stored."""
    store = plain(cfg.store)
    return {"data": source_recipe(plain(cfg.data)), **{k: store[k] for k in STORE}}
