"""One small dataclass per root config, so that an unknown top-level key in any YAML is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Paths:
    log_dir: str = MISSING  # runs, stores and sweeps go below it
    run_dir: str | None = None  # null: below log_dir/runs, a new one each time


@dataclass
class Base:
    """The network whose activations are used, trained on the same `data`."""

    name: str = MISSING
    model: Any = MISSING
    trainer: Any = MISSING
    batch_size: int = 128
    seed: int = 42


@dataclass
class StoreConfig:
    """Which activations to cache, and how they are served; see configs/store/default.yaml."""

    sites: list[str] = MISSING
    site: str | None = None
    target: str | None = None
    tokens: Any = "all"
    dtype: str = "float32"
    shard_rows: int = 65536
    extract_batch_size: int = 1024
    path: str | None = None
    memory_limit_gb: float = 4.0
    pool_rows: int = 262144


@dataclass
class Concepts:
    """Which labelled classes a trained SAE's latents stand for; see configs/concepts/default.yaml."""

    selective: float = 0.85
    pure: float = 0.95
    resamples: int = 200
    ranks: bool = True
    paths: bool = True
    top_k: int = 10


@dataclass
class Train:
    """`train` and `extract`: what is needed from inputs to a trained model."""

    name: str = MISSING  # names the run's directory
    seed: int = 42
    l0: Any = 32  # codes a row should use: what a variant calls k or target_l0 follows it
    d_dense: int = 16  # width of a dense code: what a variant calls n_dense or z_dim follows it
    batch_size: int = 1024  # of the model that is trained; the base network has its own, base.batch_size
    data: Any = None  # a source of labelled inputs
    base: Base | None = None  # the network whose activations are used
    store: StoreConfig | None = None  # which activations to cache, and how they are served
    model: Any = None  # a ClassifierModule, an SAEModule or a ProbeModule
    probe: Any = None  # linear probes on raw activations and on codes, once the SAE is trained
    concepts: Concepts | None = None  # each latent as a detector of each labelled class, once the SAE is trained
    trainer: Any = None
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: Paths = field(default_factory=Paths)
    ckpt_path: str | None = None  # a checkpoint to continue from; last: the newest unfinished run of this config
    test: bool = True  # evaluate on the test split at the end
    report: bool = True  # figures and report.html at the end
    log_checkpoints: bool = False  # to W&B, as an artifact
    sae: str | None = None  # a run whose codes a probe reads; null: raw activations
    latents: list[int] | None = None  # of those, only these
    tags: list[str] = field(default_factory=list)
    dry_run: bool = False  # list the jobs and the devices, then stop
    limit: int | None = None  # of a multirun, only the first so many jobs
    packed: bool = False  # of a multirun, train SAEs that see the same batches as one run


@dataclass
class Evaluate:
    """`eval`: the metrics of a run, computed again."""

    run: str = MISSING
    split: str = "test"
    batch_size: int = 4096
    device: str = "cpu"
    paths: Paths = field(default_factory=Paths)


@dataclass
class Report:
    """`report`: pages redrawn from what runs left."""

    run: str | None = None
    runs: str | None = None
    out: str | None = None
    open: bool = False
    paths: Paths = field(default_factory=Paths)


@dataclass
class Export:
    """`export`: an SAE in the format of another library."""

    run: str = MISSING  # a run's directory, or any with cfg.json and sae.safetensors
    format: str = MISSING
    out: str | None = None  # null: export/<format> in the run's directory
    paths: Paths = field(default_factory=Paths)


@dataclass
class Import:
    """`import`: an SAE of another library as one of ours."""

    path: str = MISSING  # the folder that the library wrote
    format: str = MISSING
    out: str | None = None  # null: a new one below log_dir/imported
    paths: Paths = field(default_factory=Paths)


ROOTS = {
    "train": Train,
    "extract": Train,
    "eval": Evaluate,
    "report": Report,
    "export": Export,
    "import": Import,
}
SCHEMAS = {schema.__name__: schema for schema in (Paths, Base, StoreConfig, Concepts, *ROOTS.values())}


def register() -> None:
    """Put the root schemas where YAMLs find them as `<command>_schema`."""
    store = ConfigStore.instance()
    for command, root in ROOTS.items():
        store.store(name=f"{command}_schema", node=root)
