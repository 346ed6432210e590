"""What an SAE or a probe needs before it can be trained: a base network, a store. Found, or made, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf
from torch import nn

from saelab.commands import build
from saelab.commands.outcome import announce, shown
from saelab.commands.recipe import base_recipe, store_recipe
from saelab.commands.stores import extracted, own_rows, truth_of
from saelab.config import ConfigError
from saelab.config.compose import plain
from saelab.data import Source
from saelab.run import Run, find, load_net
from saelab.store import Store, StoreData, Truth, recipe_hash


class Feed(NamedTuple):
    """A store, the site to train on, and where the activations came from if that is known; the true features too."""

    store: Store
    site: str
    target: str | None  # the site that a transcoder predicts
    base: Run | None
    source: Source | None
    net: nn.Module | None
    truth: Truth | None = None

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        path = self.store.path
        facts: dict[str, Any] = {
            "store": {
                "path": str(path),
                "hash": self.store.meta.hash,
                "site": self.site,
                "target": self.target,
                "rows": sum(self.store.rows(split) for split in self.store.splits),
            }
        }
        if self.base:
            facts["base"] = {"run": str(self.base.path), "hash": self.base.info["recipe"], **self.base.metrics}
        if self.source:
            facts["source"] = type(self.source).__name__
        return facts


def feed(cfg: DictConfig) -> Feed:
    """The activations a config asks for; the base network and the store are reused when they are there.

    Without a base network they are the source's own vectors, or the pixels of its pictures.
    """
    if not build.is_source(cfg):
        store, truth = build.stored(cfg)
        return Feed(store, _site(cfg, store), _target(cfg, store), None, None, None, truth)
    if cfg.store is None:
        raise ConfigError("'store' is null: an SAE or a probe needs one, e.g. base=mlp store=default.")
    if cfg.base is None:
        store, source = own_rows(cfg)
        return Feed(store, _site(cfg, store), _target(cfg, store), None, source, None, truth_of(source))
    base = base_run(cfg)
    source = build.source(cfg)
    net = load_net(base.path)
    recipe = store_recipe(cfg, base_recipe(base_config(cfg)))
    store = Store(cfg.store.path) if cfg.store.path else extracted(cfg, net, source, recipe)
    return Feed(store, _site(cfg, store), _target(cfg, store), base, source, net)


def base_config(cfg: DictConfig) -> DictConfig:
    """The config of the base network's own training run."""
    own = {"base": None, "store": None, "probe": None, "ckpt_path": None, "logger": {}, "test": True}
    paths = {"log_dir": cfg.paths.log_dir, "run_dir": None}
    merged: dict[Any, Any] = plain(cfg) | plain(cfg.base) | own | {"paths": paths}
    return OmegaConf.create(merged)


def base_run(cfg: DictConfig) -> Run:
    """The finished run of the base network; trained, or trained to its end, when it is not there."""
    from saelab.commands.train import train

    own = base_config(cfg)
    log_dir = build.log_directory(cfg)
    recipe = recipe_hash(base_recipe(own))
    with _lock(log_dir, recipe):
        run = find(log_dir, recipe, finished=True)
        if run is not None:
            announce(f"base   [green]found[/]    {shown(run.path)}")
            return run
        begun = find(log_dir, recipe, finished=False)
        announce(f"base   [yellow]{'goes on' if begun else 'training'}[/]")
        if begun:
            own.paths.run_dir = str(begun.path)
        train(own)
        run = find(log_dir, recipe, finished=True)
        assert run is not None
        return run


def store_data(cfg: DictConfig, given: Feed) -> StoreData:
    """The store as batches."""
    options = cfg.store or OmegaConf.create({"memory_limit_gb": 4.0, "pool_rows": 262144})
    return StoreData(
        store=given.store,
        site=given.site,
        target_site=given.target,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        memory_limit_gb=options.memory_limit_gb,
        pool_rows=options.pool_rows,
        device="auto",
    )


def _site(cfg: DictConfig, store: Store) -> str:
    wanted = cfg.store.site if cfg.store else None
    if wanted is None and len(store.sites) == 1:
        return next(iter(store.sites))
    if wanted not in store.sites:
        raise ConfigError(f"'store.site' is {wanted!r}: choose one of {', '.join(store.sites)}.")
    return wanted


def _target(cfg: DictConfig, store: Store) -> str | None:
    wanted = cfg.store.target if cfg.store else None
    if wanted is not None and wanted not in store.sites:
        raise ConfigError(
            f"'store.target' is {wanted!r}: choose one of {', '.join(store.sites)}; store.sites has more."
        )
    return wanted


def _lock(log_dir: Path, recipe: str) -> FileLock:
    (log_dir / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(log_dir / "locks" / f"{recipe}.lock")
