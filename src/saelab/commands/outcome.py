"""What the user sees at the end of a run: a table, the paths to look at, a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import WandbLogger
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from saelab.report import page
from saelab.run import Run, rank

console = Console(soft_wrap=True, highlight=False)
NAMES = {
    "test/acc": "test accuracy",
    "test_unseen/acc": "accuracy on unseen tags",
    "test/ev": "explained variance",
    "test/mse": "mean squared error",
    "test/l0": "L0: codes per row",
    "test/dead": "dead latents",
    "test/loss_recovered": "base loss recovered",
    "test/acc_recovered": "base accuracy recovered",
    "truth/mcc": "matched cosine with true features",
    "truth/chance_mcc": "the same for random directions",
    "truth/found": "true features found",
    "truth/uniqueness": "uniqueness",
    "truth/precision": "precision as detectors",
    "truth/recall": "recall as detectors",
    "truth/f1": "F1 as detectors",
    "truth/shrinkage": "amplitude kept",
    "truth/dense_r2": "R² of the dense part from the dense code",
    "truth/z_in_sparse": "R² of it from the sparse code",
    "truth/s_in_sparse": "R² of the sparse part from the sparse code",
    "truth/s_in_dense": "R² of it from the dense code",
    "separation/test/score": "SDR of the parts, dB",
    "separation/test_unseen/score": "the same with unseen tags, dB",
    "truth/l0": "L0 of the truth",
    "truth/oracle_ev": "explained variance of the truth",
}
FRACTIONS = ("acc", "dead", "ev", "_recovered", "f1", "map", "auc", "found", "uniqueness", "precision", "recall")


def announce(line: str) -> None:
    """One line on what is being done, from the first process only."""
    if rank() == 0:
        console.print(line)


def closing_table(run: Run) -> None:
    """The final metrics and where to look."""
    table = Table(title=f"{run.info['name']}: {run.info['status']} in {run.info['wall_s']:.0f} s", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in run.metrics.items():
        if name in NAMES or (name.startswith("probe/") and name.endswith("/acc")):
            table.add_row(_label(name), _value(name, value))
    console.print(table)
    for file in ("report.html", "metrics.csv"):
        if (run.path / file).exists():
            console.print(f"{file:<12} {shown(run.path / file)}")


def _label(name: str) -> str:
    if name.startswith("probe/"):
        _, features, family, _ = name.split("/")
        where = "raw activations" if features == "raw" else features
        return f"{family} probe on {where}"
    return NAMES[name]


def _value(name: str, value: float) -> str:
    if name.endswith(FRACTIONS):
        return f"{100 * value:.1f} %"
    return f"{value:.4g}"


def write_report(cfg: DictConfig, run: Run) -> None:
    """Figures and report.html, unless `report=false`."""
    if cfg.report:
        page(run.path)


def send_artifact(cfg: DictConfig, run: Run, trainer: L.Trainer) -> None:
    """The SAE as a W&B artifact, on request; offline it is synced with the run."""
    if not cfg.log_checkpoints:
        return
    import wandb

    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            artifact: Any = wandb.Artifact(f"{run.info['name']}-{run.path.name}", type="model", metadata=run.metrics)
            for file in ("sae.safetensors", "cfg.json", "net.safetensors", "net.json", "config.yaml"):
                if (run.path / file).exists():
                    artifact.add_file(str(run.path / file))
            logger.experiment.log_artifact(artifact)


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
