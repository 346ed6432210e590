"""The SAEs of a multirun that can be trained as one run, `packed=true`; what follows training is each job's own."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from hydra.utils import get_class
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from saelab.commands import build
from saelab.commands.feed import feed, store_data
from saelab.commands.outcome import announce
from saelab.commands.place import finished, place, run_recipe
from saelab.config import ConfigError, Job, as_job
from saelab.config.compose import plain
from saelab.modules import PackModule, Resample, SAEModule
from saelab.run import Run, step_of
from saelab.store import recipe_hash

BATCHES = ("data", "base", "store", "batch_size", "seed", "trainer", "callbacks")  # what a pack has in common
PLAIN = {
    "devices": 1,
    "precision": "32-true",
    "accumulate_grad_batches": 1,
    "strategy": "auto",
    "fast_dev_run": False,
}


def train_packs(jobs: Sequence[Job]) -> None:
    """Train what can go together; a job then finds its own training done, and goes on from its last checkpoint.

    SAEs go together when they see the same rows in the same order and would be stopped, saved and logged at the same
    steps, whatever their variants, widths and other settings of `model`. A pack that fails leaves its jobs to
    themselves.
    """
    packs: dict[str, list[Job]] = {}
    for job in jobs:
        if job.cfg.packed and not _trained(job):
            reason = why_alone(job.cfg)
            if reason is None:
                packs.setdefault(_batches(job), []).append(job)
            else:
                announce(f"pack   [yellow]alone[/]    job {_number(job)}: {reason}")
    for pack in packs.values():
        if len(pack) == 1:
            announce(f"pack   [yellow]alone[/]    job {_number(pack[0])}: no other job sees the same batches")
            continue
        try:
            train_pack(pack)
        except (KeyboardInterrupt, SystemExit):
            sweep = Path(pack[0].cfg.paths.run_dir).parent
            announce(f"pack   [yellow]stopped[/]  the same command with hydra.sweep.dir={sweep} goes on")
            raise
        except Exception:  # told, and every job is tried by itself
            Console(stderr=True).print(traceback.format_exc(), highlight=False, markup=False)
            announce("pack   [yellow]failed[/]   its jobs run alone")


def why_alone(cfg: DictConfig) -> str | None:
    """Why an SAE cannot share its training with others; None if it can."""
    if build.kind(cfg) != "sae":
        return "it trains no SAE"
    for key, value in plain(cfg.trainer).items():
        if key in PLAIN and value != PLAIN[key]:
            return f"trainer.{key}={value}"
    if cfg.ckpt_path is not None:
        return f"ckpt_path={cfg.ckpt_path}"
    if any((cfg.logger or {}).values()):
        return "it logs elsewhere too (logger)"
    for name, node in cfg.callbacks.items():
        if node and (issubclass(cls := get_class(node._target_), Resample) or _watches(cls, node)):
            return f"callbacks.{name}"
    try:
        trained = build.sae(cfg, d_in=1, d_out=1).sae.trained
    except ConfigError:
        return "its config is wrong"
    return None if trained else "nothing in it is trained"


def train_pack(jobs: Sequence[Job]) -> None:
    """Train the SAEs of some jobs as one run; each job's directory is left as if it had been stopped after training."""
    cfg = jobs[0].cfg
    given = feed(cfg)
    data = store_data(cfg, given)
    with ExitStack() as stack:
        runs = [stack.enter_context(_start(job, len(jobs))) for job in jobs]
        announce(f"pack   [cyan]{len(jobs)} SAEs[/] as one: jobs {', '.join(map(_number, jobs))}")
        members, draws = _members(jobs, data.d_in, data.d_out)
        for run, job in zip(runs, jobs, strict=True):
            run.note(seed=job.cfg.seed, tags=list(job.cfg.tags), **given.facts())
        begun = runs[0].last_checkpoint
        step = step_of(begun) if begun else 0
        if begun:
            announce(f"pack   [yellow]continues[/] from step {step}")
        trainer = build.pack_trainer(cfg, runs, step=step)
        pack = PackModule(members=members, draws=draws)
        trainer.fit(pack, datamodule=data, ckpt_path=begun, weights_only=True)
        for run in runs:
            facts = {"jobs": [job.cfg.paths.run_dir for job in jobs], "from_step": step, "to_step": trainer.global_step}
            run.note(status="trained", packed=facts, resumed=run.info["resumed"] - 1)


def _members(jobs: Sequence[Job], d_in: int, d_out: int) -> tuple[list[SAEModule], list[torch.Tensor]]:
    """The modules, and where each one's random numbers stand once it is built."""
    members, draws = [], []
    for job in jobs:
        members.append(build.sae(job.cfg, d_in, d_out))
        draws.append(torch.get_rng_state())
    return members, draws


def _start(job: Job, members: int) -> Run:
    kind = build.kind(job.cfg)
    recipe = recipe_hash(run_recipe(job.cfg, kind))
    path = place(job.cfg, recipe)
    config_yaml = OmegaConf.to_yaml(job.cfg, resolve=True)
    with as_job(job.overrides, str(path)):
        run = Run.start(path, name=job.cfg.name, kind=kind, recipe=recipe, config_yaml=config_yaml)
    run.share = 1 / members
    return run


def _trained(job: Job) -> bool:
    path = Path(job.cfg.paths.run_dir)
    if finished(path) is not None:
        return True
    return (path / "run.json").exists() and Run.open(path).info["status"] == "trained"


def _batches(job: Job) -> str:
    """What the members of a pack have in common: the batches, when they are saved, and from where they go on."""
    checkpoint = Path(job.cfg.paths.run_dir) / "checkpoints" / "last.ckpt"
    step = step_of(checkpoint) if checkpoint.exists() else 0
    return recipe_hash({name: plain(job.cfg[name]) for name in BATCHES} | {"step": step})


def _watches(callback: type, node: DictConfig) -> bool:
    """Whether it stops or changes training by a metric, which is one member's own."""
    return "monitor" in list(node) and not issubclass(callback, ModelCheckpoint)


def _number(job: Job) -> str:
    return Path(job.cfg.paths.run_dir).name
