"""`eval`: the metrics of a run, computed again from what it left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from saelab.commands import build
from saelab.config import ConfigError, command
from saelab.modules.tally import Tally
from saelab.run import Run, load_net, load_sae, write_json
from saelab.store import Store, StoreData


@command("eval")
def main(cfg: DictConfig) -> dict[str, float]:
    """Compute the metrics of a run again on any split: run=logs/runs/... split=test."""
    try:
        run = Run.open(cfg.run)
        metrics = EVALUATE[run.info["kind"]](cfg, run)
    except (ValueError, KeyError) as error:
        raise ConfigError(str(error)) from error
    write_json(run.path / f"eval_{cfg.split}.json", metrics)
    table = Table("metric", "value", "in metrics.json", title=f"{run.info['name']} on {cfg.split}")
    for name, value in metrics.items():
        before = run.metrics.get(name)
        table.add_row(name, f"{value:.6g}", "" if before is None else f"{before:.6g}")
    Console().print(table)
    return metrics


@torch.no_grad()
def evaluate_sae(cfg: DictConfig, run: Run) -> dict[str, float]:
    """EV, MSE, L0, L1 and dead latents of an SAE on a split of its store."""
    sae = load_sae(run.path).to(cfg.device)
    store, site, target = (run.info["store"][key] for key in ("path", "site", "target"))
    data = StoreData(store=Store(store), site=site, target_site=target, batch_size=cfg.batch_size, device=cfg.device)
    tally = Tally(d_out=sae.d_out, d_sae=sae.d_sae).to(cfg.device)
    centre = data.store.mean("train", target or site).float().to(cfg.device)
    for batch in data.loader(cfg.split):
        f = sae.encode(batch.x)
        tally.update(batch.y, sae.decode(f, batch.x), f, centre)
    return {f"{cfg.split}/{k}": float(v) for k, v in tally.compute().items() if k != "density"}


@torch.no_grad()
def evaluate_classifier(cfg: DictConfig, run: Run) -> dict[str, float]:
    """Loss and accuracy of a base network on a split of its source."""
    saved = OmegaConf.load(Path(run.path) / "config.yaml")
    assert isinstance(saved, DictConfig)
    source = build.source(saved)
    source.batch_size = cfg.batch_size
    module = build.classifier(saved, source)
    module.net.load_state_dict(load_net(run.path).state_dict())
    silent: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = L.Trainer(accelerator=cfg.device, devices=1, **silent)
    (found,) = trainer.test(module, dataloaders=source.loader(cfg.split), verbose=False)
    return {name.replace("test/", f"{cfg.split}/"): float(value) for name, value in found.items()}


EVALUATE = {"sae": evaluate_sae, "classifier": evaluate_classifier}
