"""Where a run lies, and what it is found by."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.utils import get_class
from omegaconf import DictConfig

from saelab.commands import build
from saelab.commands.feed import base_config
from saelab.commands.recipe import base_recipe, rows_recipe, source_recipe, store_recipe, training_recipe
from saelab.config import ConfigError
from saelab.config.compose import plain
from saelab.run import Run, find, new_directory, rank


def run_recipe(cfg: DictConfig, kind: str) -> dict[str, object]:
    """What determines a run's numbers."""
    if kind == "classifier":
        return base_recipe(cfg)
    if cfg.store is None or not build.is_source(cfg):
        before: dict[str, object] = {"data": source_recipe(plain(cfg.data))}
    elif cfg.base is None:
        before = {"store": rows_recipe(cfg)}
    else:
        before = {"store": store_recipe(cfg, base_recipe(base_config(cfg)))}
    after = {"probe": plain(cfg.probe), "concepts": plain(cfg.concepts), "sae": cfg.sae} | treatments(cfg)
    after |= {"site": cfg.store.site, "target": cfg.store.target} if cfg.store else {"site": None}
    return before | training_recipe(cfg) | after


def treatments(cfg: DictConfig) -> dict[str, object]:
    """The callbacks that change what is learned; others only watch, so a run may go on with other ones."""
    own = {str(name): node for name, node in cfg.callbacks.items() if node}
    found = {name: plain(node) for name, node in own.items() if getattr(get_class(node._target_), "treats", False)}
    return {"callbacks": found} if found else {}


def place(cfg: DictConfig, recipe: str) -> Path:
    """The run's directory: a new one, a given one, or with ckpt_path=last that of the newest unfinished run."""
    log_dir = build.log_directory(cfg)
    if rank() > 0 and "SAELAB_RUN_DIR" in os.environ:
        return Path(os.environ["SAELAB_RUN_DIR"])
    if cfg.paths.run_dir:
        path = Path(cfg.paths.run_dir)
        before = Run.open(path) if (path / "run.json").exists() else None
        if before is not None and before.info["recipe"] != recipe:
            raise ConfigError(f"paths.run_dir={path} holds a run of another config: choose another directory.")
    elif cfg.ckpt_path == "last":
        begun = find(log_dir, recipe, finished=False)
        if begun is None:
            raise ConfigError(f"ckpt_path=last: there is no unfinished run of this config below {log_dir}.")
        path = begun.path
    else:
        path = new_directory(log_dir / "runs" / cfg.name)
    return path


def finished(path: Path) -> Run | None:
    """The run in a place, if there is one and it has ended well."""
    run = Run.open(path) if (path / "run.json").exists() and rank() == 0 else None
    return run if run is not None and run.info["status"] == "finished" else None
