"""What an SAE lost of the concept that was kept from it, once it is trained."""

from __future__ import annotations

from hydra.utils import get_class
from omegaconf import DictConfig

from saelab.analysis.ablation import ablation_metrics, ablation_rows
from saelab.analysis.save import write_csv
from saelab.commands.outcome import announce
from saelab.config import ConfigError
from saelab.modules import ConceptDynamics, SAEModule
from saelab.modules.csv import known
from saelab.run import Run
from saelab.store import StoreData

Metrics = dict[str, float]


def check_ablation(cfg: DictConfig, module: SAEModule, data: StoreData) -> None:
    """Raise a ConfigError for a concept that there is not, and say where nobody would look at what becomes of it."""
    if module.ablation is None:
        return
    try:
        module.ablation.check(data)
    except ValueError as error:
        raise ConfigError(f"model.ablation: {error}") from error
    if not any(node and issubclass(get_class(node._target_), ConceptDynamics) for node in cfg.callbacks.values()):
        announce("ablation [yellow]unseen[/] what is lost is told with callbacks=concepts only")


def examine_ablation(run: Run, module: SAEModule) -> Metrics:
    """Write `figures/ablation.csv`, and give the `ablation/` metrics, where something was done and looked at."""
    figures, ours = run.path / "figures", module.ablation
    if ours is None or not (figures / "concept_dynamics.csv").exists():
        return {}
    begin, end = ours.moments(module.total_steps)
    steps = {"before": begin, "after": end, "end": module.total_steps}
    rows = ablation_rows(known(figures / "concept_dynamics.csv"), concept=f"{ours.family}/{ours.name}", steps=steps)
    penalised = {"penalised": int(ours.latents.sum())} if ours.how == "penalise" else {}
    write_csv(figures / "ablation.csv", [{"how": ours.how} | row | penalised for row in rows])
    return {f"ablation/{name}": float(value) for name, value in (ablation_metrics(rows) | penalised).items()}
