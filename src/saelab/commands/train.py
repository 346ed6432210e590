"""`train`: from nothing to a trained and examined network, SAE or probe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig, OmegaConf

from saelab.commands import build
from saelab.commands.ablation import check_ablation, examine_ablation
from saelab.commands.examine import examine_classifier, examine_probe, examine_sae
from saelab.commands.feed import feed, store_data
from saelab.commands.outcome import announce, closing_table, send_artifact, shown, write_report
from saelab.commands.pack import train_packs
from saelab.commands.place import finished, place, run_recipe
from saelab.commands.sweep import summarise
from saelab.config import ConfigError, command
from saelab.run import Run, rank, save_module, step_of
from saelab.store import recipe_hash

Metrics = dict[str, float]


@command("train", before_sweep=train_packs, after_sweep=summarise)
def main(cfg: DictConfig) -> Metrics:
    """Train a base network, a sparse autoencoder or a probe; whatever it needs is found or made first."""
    return train(cfg)


def train(cfg: DictConfig) -> Metrics:
    """One run: place it, train, test, examine, report."""
    kind = build.kind(cfg)
    recipe = recipe_hash(run_recipe(cfg, kind))
    _check_checkpoint(cfg)
    path = place(cfg, recipe)
    if (done := finished(path)) is not None:
        announce(f"run    [green]finished before[/] {shown(path)}")
        return done.metrics
    config_yaml = OmegaConf.to_yaml(cfg, resolve=True)
    with (
        _nothing_left_of_a_mistake(path),
        Run.start(path, name=cfg.name, kind=kind, recipe=recipe, config_yaml=config_yaml) as run,
    ):
        announce(f"run    [cyan]{kind}[/] {shown(path)}")
        run.note(seed=cfg.seed, tags=list(cfg.tags))
        metrics = TRAIN[kind](cfg, run)
        if rank() > 0:
            return metrics
        run.finish(metrics)
        write_report(cfg, run)
    closing_table(run)
    return metrics


def train_classifier(cfg: DictConfig, run: Run) -> Metrics:
    """Train a base network on a source; keep the weights that did best on the validation split."""
    source = build.source(cfg)
    module = build.classifier(cfg, source)
    trainer, checkpoint = _trainer(cfg, run, module)
    run.note(source=type(source).__name__)
    trainer.fit(module, datamodule=source, ckpt_path=checkpoint, weights_only=True)
    if not cfg.test or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return _logged(trainer)
    best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else ""  # type: ignore[union-attr]
    metrics = _test(trainer, module, source, ckpt_path=best or None)
    if "test_unseen" in source.splits:
        unseen = _test(trainer, module, None, source.loader("test_unseen"))
        metrics |= {name.replace("test/", "test_unseen/"): value for name, value in unseen.items()}
    if rank() == 0:
        save_module(run.path, "net", build.net_spec(cfg, source), module.net)
        examine_classifier(cfg, run, module, source)
    return metrics


def train_sae(cfg: DictConfig, run: Run) -> Metrics:
    """Train an SAE on a store, test it, splice it back into the base network, and probe its codes."""
    build.sae(cfg, d_in=1, d_out=1)  # a rule that the config breaks is told before a base network is trained
    given = feed(cfg)
    run.note(**given.facts())
    data = store_data(cfg, given)
    module = build.sae(cfg, data.d_in, data.d_out)
    check_ablation(cfg, module, data)
    trainer, checkpoint = _trainer(cfg, run, module)
    if module.sae.trained:
        begun = -1 if checkpoint is None else step_of(checkpoint)  # now: training writes to the same place
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if trainer.global_step == begun:
            module.on_train_end()  # training was over before, so Lightning does not end it again
    else:
        module.init_from_(data)
    if not cfg.test or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return _logged(trainer)
    metrics = _test(trainer, module, data)
    if rank() == 0:
        save_module(run.path, "sae", build.sae_spec(cfg, data.d_in, data.d_out), module.sae)
        metrics |= examine_sae(cfg, run, module, given) | examine_ablation(run, module)
        send_artifact(cfg, run, trainer)
    return metrics


def train_probe(cfg: DictConfig, run: Run) -> Metrics:
    """Fit linear probes to the activations of a store, or to an SAE's codes of them."""
    given = feed(cfg)
    run.note(**given.facts())
    return examine_probe(cfg, run, given)


TRAIN: dict[str, Callable[[DictConfig, Run], Metrics]] = {
    "classifier": train_classifier,
    "sae": train_sae,
    "probe": train_probe,
}


@contextmanager
def _nothing_left_of_a_mistake(path: Path) -> Iterator[None]:
    """A config error is found before anything is trained: a directory made for that run goes."""
    try:
        yield
    except ConfigError:
        if rank() == 0 and not (path / "metrics.csv").exists():
            shutil.rmtree(path)
        raise


def _check_checkpoint(cfg: DictConfig) -> None:
    if cfg.ckpt_path not in (None, "last") and not Path(cfg.ckpt_path).exists():
        raise ConfigError(f"'ckpt_path' is {cfg.ckpt_path}: there is no such file. ckpt_path=last finds the newest.")


def _trainer(cfg: DictConfig, run: Run, module: L.LightningModule) -> tuple[L.Trainer, Path | None]:
    """The trainer, and the checkpoint it continues from: a given one, or what an unfinished run in this place left."""
    checkpoint = Path(cfg.ckpt_path) if cfg.ckpt_path not in (None, "last") else run.last_checkpoint
    if checkpoint is None:
        return build.trainer(cfg, run, module), None
    step = step_of(checkpoint)
    if "packed" in run.info:
        announce(f"run    [green]trained[/]  to step {step} as one of {len(run.info['packed']['jobs'])} SAEs")
    else:
        announce(f"run    [yellow]continues[/] from step {step}")
    return build.trainer(cfg, run, module, step=step), checkpoint


def _test(trainer: L.Trainer, module: L.LightningModule, data: Any, loader: Any = None, **options: Any) -> Metrics:
    options |= {"weights_only": True, "verbose": False}
    (found,) = trainer.test(module, dataloaders=loader, datamodule=data, **options)
    return {name: float(value) for name, value in found.items()}


def _logged(trainer: L.Trainer) -> Metrics:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
