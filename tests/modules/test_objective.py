"""The objective over a split: means over rows whatever the batches, with the weights that training has."""

from __future__ import annotations

from functools import partial
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import Data, trainer

from saelab.modules import SAEModule
from saelab.modules.objective import Objective
from saelab.sae import SAE, VAE, ReLU, TopK
from saelab.sae.likelihood import cross_entropy


def test_by_hand() -> None:
    objective = Objective()
    objective.update({"recon": torch.tensor(2.0), "kl": torch.tensor(1.0)}, 30, {"bce": torch.tensor(5.0)})
    objective.update({"recon": torch.tensor(4.0), "kl": torch.tensor(0.0)}, 10, {"bce": torch.tensor(1.0)})
    found = {name: value.item() for name, value in objective.compute().items()}
    assert found == {"loss": (3 * 30 + 4 * 10) / 40, "recon": 100 / 40, "kl": 30 / 40, "bce": 160 / 40}
    objective.reset()
    objective.update({"recon": torch.tensor(7.0), "kl": torch.tensor(0.0)}, 1, {"bce": torch.tensor(0.0)})
    assert objective.compute()["loss"].item() == 7


class Pixels(Data):
    def __init__(self) -> None:
        super().__init__()
        self.x.sigmoid_()


def fitted(sae: SAE, data: Any, path: Path, **options: Any) -> tuple[dict[str, float], SAEModule]:
    module = SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), **options)
    fit = trainer(path, max_epochs=2)
    fit.fit(module, datamodule=data)
    return {name: float(value) for name, value in fit.callback_metrics.items()}, module


LOGITS: Any = {"likelihood": "bernoulli", "normalize": "none", "b_dec_init": "mean", "pos_weight": 3.0}


def test_logits_are_reported_as_training_had_them(tmp_path: Path) -> None:
    data = Pixels()
    told, module = fitted(TopK(d_in=8, d_sae=16, k=4, **LOGITS), data, tmp_path)
    sae = module.sae.eval()
    step = sae.step(data.x)
    terms = sae.losses(step)
    assert told["val/loss"] == pytest.approx(sum(term.item() for term in terms.values()), rel=1e-4)
    assert told["val/recon"] == pytest.approx(sae.likelihood.error(step.y_hat, data.x).item(), rel=1e-4)
    assert told["val/bce"] == pytest.approx(cross_entropy(step.y_hat - log(3.0), data.x).item(), rel=1e-4)
    assert told["val/recon"] > told["val/bce"]  # what is on weighs three times as much
    ev = 1 - (data.x - (step.y_hat - log(3.0)).sigmoid()).square().sum() / (data.x - data.x.mean(0)).square().sum()
    assert told["val/ev"] == pytest.approx(ev.item(), rel=1e-4)
    assert -1 < told["train/ev"] <= 1  # of probabilities, not of logits


def test_squares_have_no_cross_entropy_and_a_penalty_its_weight(tmp_path: Path) -> None:
    data = Data()
    told, module = fitted(ReLU(d_in=8, d_sae=16, l1=0.1, decoder="free"), data, tmp_path, sparsity_warmup=1.0)
    terms = module.sae.eval().losses(module.sae.step(data.x))
    assert "val/bce" not in told
    assert told["val/loss"] == pytest.approx(told["val/recon"] + told["val/sparsity"], rel=1e-5)
    assert told["val/sparsity"] == pytest.approx(
        terms["sparsity"].item(), rel=1e-3
    )  # training is over: no longer rising


def test_a_divergence_is_told_at_its_weight(tmp_path: Path) -> None:
    told, module = fitted(VAE(d_in=8, d_sae=1, z_dim=3, hidden=8, beta=0.5, kl_warmup=0.5), Data(), tmp_path)
    assert told["val/kl"] == pytest.approx(module.sae.losses(module.sae.eval().step(Data().x))["kl"].item(), rel=1e-4)
