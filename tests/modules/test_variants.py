"""Every trained variant goes through a fit as its YAML says: losses, tracking and treatments in Lightning's order."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from test_training import Data, trainer

from saelab.modules import SAEModule

sys.path.append(str(Path(__file__).parents[1] / "sae"))
from variants import make, names

TREATED = {"ghost": 0.1, "dead_after": 100}


@pytest.mark.parametrize("name", [name for name in names() if make(name).trained])
def test_it_is_fitted_and_tested(name: str, tmp_path: Path) -> None:
    sae = make(name, d_in=8, **TREATED)
    module = SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), sparsity_warmup=0.5)
    fit = trainer(tmp_path, max_epochs=2, gradient_clip_val=1.0)
    fit.fit(module, datamodule=Data())
    assert fit.global_step == 16
    assert torch.isfinite(fit.callback_metrics["val/ev"])
    assert all(p.isfinite().all() for p in sae.parameters())
