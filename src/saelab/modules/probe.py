"""Linear probes: how readable is each concept from a feature matrix?"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lightning as L
import torch
from torch import Tensor

from saelab.data.source import Family
from saelab.modules.probe_data import ProbeData
from saelab.modules.probe_factors import factor_rows
from saelab.modules.probe_module import ProbeModule
from saelab.modules.probe_split import stratified_folds


def probe(
    *,
    module: ProbeModule,
    features: Tensor,
    labels: Mapping[str, Tensor],
    families: Mapping[str, Family],
    groups: Tensor | None = None,
    accelerator: str = "cpu",
    max_epochs: int = 50,
) -> list[dict]:
    """Probe every family and return all rows: classes by `module`, continuous factors by ridge regression.

    Rows of class families are `module.results()`; rows of factors have `r2` in place of the other scores.
    """
    rows = []
    if any(family.classes for family in families.values()):
        data = ProbeData(features=features, labels=labels, families=families, groups=groups)
        with silence():
            trainer = L.Trainer(
                accelerator=accelerator,
                devices=1,
                max_epochs=max_epochs,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, data)
            trainer.test(module, data, verbose=False)
        rows += module.results()
        if not module.converged:
            warnings.warn(
                f"Probes stopped after {max_epochs} epochs with a gradient above tol={module.tol}; raise either.",
                stacklevel=2,
            )
    for name, family in families.items():
        if family.factors:
            part = stratified_folds(
                torch.where(labels[name].isnan().any(1), -1, 0),
                folds=module.folds,
                test_fraction=module.test_fraction,
                seed=module.seed,
                groups=groups,
            )
            scores = factor_rows(
                features, labels[name], part=part, folds=module.folds, c=module.c, names=family.factors
            )
            rows += [{"family": name} | row for row in scores]
    return rows


@contextmanager
def silence() -> Iterator[None]:
    """A trainer inside a command has nothing to add to what the command says."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in ("does not have many workers", "available but not used", "training batches", "LeafSpec"):
                warnings.filterwarnings("ignore", message=f".*{message}.*")
            yield
    finally:
        log.setLevel(level)
