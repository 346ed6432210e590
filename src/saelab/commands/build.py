"""Objects from configs: sources, modules, trainers."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from hydra.utils import get_class, get_object, instantiate
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from saelab.config import ConfigError
from saelab.data import Source
from saelab.modules import (
    AtomicCheckpointIO,
    ClassifierModule,
    CurvesLogger,
    PackCheckpointIO,
    PackCurves,
    SAEModule,
    Straight,
    Unprofiled,
)
from saelab.run import Run
from saelab.store import Store, Truth


def kind(cfg: DictConfig) -> str:
    """What `model` trains: `classifier`, `sae` or `probe`."""
    return get_class(cfg.model._target_).kind


def is_source(cfg: DictConfig) -> bool:
    """Whether `data` gives inputs for a network, rather than activations."""
    target = get_object(cfg.data._target_)
    return isinstance(target, type) and issubclass(target, Source)


def source(cfg: DictConfig) -> Source:
    """The source of labelled inputs, ready to serve."""
    built = _checked(cfg.data, "data")
    built.batch_size = cfg.batch_size
    built.prepare_data()
    built.setup()
    return built


def stored(cfg: DictConfig) -> tuple[Store, Truth | None]:
    """The store that `data` is, or that is made of the array that `data` is; with the true features beside that."""
    built = _checked(cfg.data, "data")
    if isinstance(built, Store):
        return built, None
    try:
        truth = built.truth()  # before the import, so that a wrong file is told at once
        return built.store(log_directory(cfg) / "stores"), truth
    except (ValueError, OSError) as error:
        raise ConfigError(f"data: {error}") from error


def net_spec(cfg: DictConfig, data: Source) -> dict[str, Any]:
    """The base network's config with what the source decides filled in."""
    spec = cast(dict[str, Any], OmegaConf.to_container(cfg.model.net, resolve=True))
    return spec | {"n_out": data.n_out, "input_shape": list(data.input_shape)}


def classifier(cfg: DictConfig, data: Source) -> ClassifierModule:
    """The module of a base network."""
    model = _filled(cfg.model, net=net_spec(cfg, data))
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    module = _checked(model, "model")
    slots, start = {}, 0
    for name, family in data.families.items():
        if family.classes:
            slots[name] = (start, start + len(family.classes))
            start += len(family.classes)
    vectors = data.batch("train", torch.zeros(1, dtype=torch.long)).y.is_floating_point()
    module.describe_(data.n_out, vectors=vectors, slots=slots if start == data.n_out else {})
    return module


def sae_spec(cfg: DictConfig, d_in: int, d_out: int) -> dict[str, Any]:
    """The SAE's config with the store's widths filled in: `d_out` only where there is a target site."""
    widths = {"d_in": d_in, "d_out": d_out if cfg.store and cfg.store.target else None}
    return cast(dict[str, Any], OmegaConf.to_container(cfg.model.sae, resolve=True)) | widths


def sae(cfg: DictConfig, d_in: int, d_out: int) -> SAEModule:
    """The module of an SAE."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    return _checked(_filled(cfg.model, sae=sae_spec(cfg, d_in, d_out)), "model")


def trainer(cfg: DictConfig, run: Run, module: L.LightningModule, *, step: int = 0) -> L.Trainer:
    """The trainer of a run: its callbacks and loggers write into the run's directory.

    `step` is that of the checkpoint training continues from.
    """
    monitor, mode = getattr(module, "monitor", (None, "min"))
    filled = {"dirpath": str(run.path / "checkpoints"), "monitor": monitor, "mode": mode}
    filled |= {"save_dir": str(run.path / "figures")}
    callbacks = [_checked(_fill(node, filled), f"callbacks.{name}") for name, node in cfg.callbacks.items() if node]
    filled = {"save_dir": str(run.path)}
    loggers: list[Logger] = [_checked(_fill(n, filled), f"logger.{k}") for k, n in (cfg.logger or {}).items() if n]
    os.environ["SAELAB_RUN_DIR"] = str(run.path)  # where the processes that Lightning starts for other ranks belong
    return _trainer(cfg, run.path, callbacks, [_curves(run, step), *loggers], AtomicCheckpointIO())


def pack_trainer(cfg: DictConfig, runs: Sequence[Run], *, step: int = 0) -> L.Trainer:
    """The trainer of a pack: what it logs and saves goes to the directories of its members."""
    folders, folder = [run.path / "checkpoints" for run in runs], runs[0].path.parent / "checkpoints"
    shared: dict[str, Any] = {"dirpath": str(folder), "save_dir": [str(run.path / "figures") for run in runs]}
    callbacks = []
    for name, node in cfg.callbacks.items():
        if node and "monitor" in list(node):  # which checkpoint is the best is each member's own
            monitor, mode = SAEModule.monitor
            for number, own in enumerate(folders):
                filled = _fill(node, {"dirpath": str(own), "monitor": monitor, "mode": mode})
                callbacks.append(_checked(_filled(filled, monitor=f"{number}/{filled.monitor}"), f"callbacks.{name}"))
        elif node:
            callbacks.append(_checked(_fill(node, shared), f"callbacks.{name}"))
    curves = PackCurves(members=[_curves(run, step) for run in runs])
    return _trainer(cfg, folder, callbacks, [curves], PackCheckpointIO(folders=folders, folder=folder))


def _curves(run: Run, step: int) -> CurvesLogger:
    curves = CurvesLogger(path=run.path / "metrics.csv")
    curves.continue_from(step)
    return curves


def _trainer(
    cfg: DictConfig, path: Path, callbacks: list[Any], loggers: list[Any], io: AtomicCheckpointIO
) -> L.Trainer:
    _hush()
    quiet = not any(isinstance(c, ProgressBar) for c in callbacks)
    profiler = {} if "profiler" in cfg.trainer else {"profiler": Unprofiled()}
    built = instantiate(
        cfg.trainer,
        _convert_="all",
        callbacks=callbacks,
        logger=loggers,
        plugins=[io],
        **profiler,
        default_root_dir=str(path),
        enable_progress_bar=not quiet,
        enable_model_summary=False,
    )
    built.fit_loop.epoch_loop = Straight(built, built.min_steps, built.max_steps)
    return built


def _hush() -> None:
    """Keep Lightning's warnings, not its advice: what matters of a run is said by the command."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        "does not have many workers",
        "available but not used",
        "number of training batches",
        "LeafSpec",
        "exists and is not empty",
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


def _filled(node: DictConfig, **values: Any) -> DictConfig:
    return OmegaConf.merge(node, OmegaConf.create(values))  # type: ignore[return-value]


def _fill(node: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    missing = [key for key in node if OmegaConf.is_missing(node, key)]
    return _filled(node, **{str(key): values[str(key)] for key in missing})


def _checked(node: Any, where: str) -> Any:
    """Instantiate; a rule across arguments that does not hold is a config error that says where."""
    try:
        return instantiate(node, _convert_="all")
    except Exception as error:  # Hydra wraps what a constructor raises
        cause = error.__cause__ or error
        if isinstance(cause, ValueError):
            raise ConfigError(f"{where}: {cause}") from error
        raise


def log_directory(cfg: DictConfig) -> Path:
    """Where runs, stores and sweeps lie."""
    return Path(cfg.paths.log_dir).expanduser().resolve()
