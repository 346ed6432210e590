"""`@command`: a function from config to metrics, made a program."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import distributed

from saelab.config.check import ConfigError
from saelab.config.compose import compose, configs_dir, jobs, of_each_job, set_log_dir, spelt
from saelab.config.help import devices, help_text
from saelab.config.schema import register
from saelab.kernels import tune
from saelab.run import new_directory

Metrics = dict[str, float]
FLAGS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--version")
VALUED = (*FLAGS, "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
RANKS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Job(NamedTuple):
    """A job of a multirun: its overrides, and its config with the run's directory filled in."""

    overrides: list[str]
    cfg: DictConfig


def command(
    name: str,
    *,
    before_sweep: Callable[[list[Job]], None] | None = None,
    after_sweep: Callable[[Path], None] | None = None,
) -> Callable[[Callable[[DictConfig], Metrics]], Callable[[], None]]:
    """Make a program of a function: compose, check, run; a mistake is one line and exit status 2.

    `before_sweep` is called with the jobs of a multirun before the first begins, `after_sweep` with the directory when
    all have ended.
    """

    def decorate(function: Callable[[DictConfig], Metrics]) -> Callable[[], None]:
        @functools.wraps(function)
        def program() -> None:
            tune()
            args = sys.argv[1:]
            if "--help" in args or "-h" in args:
                print(help_text(name, function.__doc__ or ""))
                return
            if int(os.environ.get("LOCAL_RANK", 0)) > 0 and "SAELAB_JOB" in os.environ:
                _as_rank(name, function)
                return
            try:
                sys.exit(_launch(name, function, args, before_sweep, after_sweep))
            except ConfigError as error:
                _complain(error)
                sys.exit(2)
            except KeyboardInterrupt:
                Console(stderr=True).print("[yellow]Stopped.[/] `ckpt_path=last` continues where it was.")
                sys.exit(130)

        return program

    return decorate


def split(args: list[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the overrides, in whatever order they were typed."""
    flags: list[str] = []
    overrides: list[str] = []
    for word in args:
        value = flags[-1:] and flags[-1].startswith("-") and flags[-1] in VALUED and "=" not in word
        (flags if word.startswith("-") or value else overrides).append(word)
    return flags, overrides


def _launch(
    name: str,
    function: Callable[[DictConfig], Metrics],
    args: list[str],
    before_sweep: Callable[[list[Job]], None] | None,
    after_sweep: Callable[[Path], None] | None,
) -> int:
    register()
    set_log_dir()
    configs: list[DictConfig] = []
    todo: list[list[str]] = []
    flags, overrides = split(args)
    overrides = spelt(overrides)
    multirun = bool({"-m", "--multirun"} & set(flags))
    if not set(flags) & set(FLAGS):
        overrides, todo = (overrides, [overrides]) if not multirun else _jobs(name, overrides)
        configs = [compose(name, job) for job in todo]  # every job is checked before the first begins
        if OmegaConf.select(configs[0], "dry_run"):
            _list_jobs(todo, OmegaConf.select(configs[0], "limit"))
            return 0
    failures: list[Exception] = []
    multirun = multirun and bool(configs)
    hydra_args = ["hydra.output_subdir=null", "hydra.run.dir=."]
    sweep_dir = None
    if multirun:
        given = next((o.split("=", 1)[1] for o in overrides if o.startswith("hydra.sweep.dir=")), None)
        label = str(OmegaConf.select(configs[0], "name"))
        sweep_dir = Path(given) if given else new_directory(Path(os.environ["SAELAB_LOG_DIR"]) / "sweeps" / label)
        hydra_args = ["hydra.output_subdir=null", f"hydra.sweep.dir={sweep_dir}", "hydra.sweep.subdir=."]
    sys.argv = [sys.argv[0], *flags, *overrides, *hydra_args]
    if sweep_dir is not None and before_sweep is not None:
        numbered = enumerate(zip(todo, configs, strict=True))
        _before(before_sweep, [_job(number, job, cfg, sweep_dir) for number, (job, cfg) in numbered])
    task = functools.partial(_task, function=function, sweep_dir=sweep_dir, failures=failures)
    hydra.main(version_base="1.3", config_path=str(configs_dir()), config_name=name)(task)()
    if sweep_dir is None and failures:
        raise failures[0]
    if sweep_dir is not None and after_sweep is not None:
        after_sweep(sweep_dir)
    return 1 if failures else 0


def _jobs(name: str, overrides: list[str]) -> tuple[list[str], list[list[str]]]:
    """The overrides as Hydra takes them in a multirun, and those of each job."""
    try:
        return overrides, jobs(name, overrides)
    except ConfigError:
        settings = of_each_job(overrides)
        if settings == overrides:
            raise
        return settings, jobs(name, settings)


def _task(
    cfg: DictConfig,
    *,
    function: Callable[[DictConfig], Metrics],
    sweep_dir: Path | None,
    failures: list[Exception],
) -> Metrics | None:
    """One job. In a multirun a failure is told and the other jobs go on; alone, it ends the program."""
    overrides = list(HydraConfig.get().overrides.task)
    if sweep_dir is not None:
        number = int(HydraConfig.get().job.num)
        limit = OmegaConf.select(cfg, "limit")
        if limit is not None and number >= limit:
            return None
        cfg = _job(number, overrides, cfg, sweep_dir).cfg
        Console().rule(f"job {number}  {escape(' '.join(overrides))}", align="left")
    with as_job(overrides, OmegaConf.select(cfg, "paths.run_dir")):
        try:
            return function(cfg)
        except SystemExit as stop:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from stop
        except Exception as error:  # Hydra would print it its own way
            failures.append(error)
            if sweep_dir is not None:
                _complain(error) if isinstance(error, ConfigError) else traceback.print_exc()
    return None


def _job(number: int, overrides: list[str], cfg: DictConfig, sweep_dir: Path) -> Job:
    OmegaConf.update(cfg, "paths.run_dir", str(sweep_dir / f"{number:03d}"))
    return Job(overrides, cfg)


def _before(function: Callable[[list[Job]], None], jobs: list[Job]) -> None:
    limit = OmegaConf.select(jobs[0].cfg, "limit")
    try:
        function(jobs[:limit])
    except SystemExit as stop:  # how Lightning ends after Ctrl-C
        raise KeyboardInterrupt from stop


@contextmanager
def as_job(overrides: list[str], run_dir: str | None) -> Iterator[None]:
    """Tell processes that Lightning starts for other ranks which job they belong to; forget them when the job ends."""
    before = {key: os.environ.get(key) for key in (*RANKS, "SAELAB_JOB", "SAELAB_RUN_DIR")}
    os.environ["SAELAB_JOB"] = json.dumps({"overrides": overrides, "run_dir": run_dir})
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _as_rank(name: str, function: Callable[[DictConfig], Metrics]) -> None:
    job = json.loads(os.environ["SAELAB_JOB"])
    cfg = compose(name, job["overrides"])
    if job["run_dir"]:
        OmegaConf.update(cfg, "paths.run_dir", job["run_dir"])
    function(cfg)


def _complain(error: BaseException | None) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]config error:[/] {escape(str(error))}", highlight=False)


def _list_jobs(todo: list[list[str]], limit: int | None) -> None:
    table = Table("job", "overrides", title=f"{len(todo)} job{'s' * (len(todo) != 1)}, none started (dry_run)")
    for i, job in enumerate(todo):
        left_out = "  [dim](beyond limit)[/]" if limit is not None and i >= limit else ""
        table.add_row(str(i), escape(" ".join(job)) + left_out)
    Console().print(table)
    Console().print("devices: " + ", ".join(devices()))
