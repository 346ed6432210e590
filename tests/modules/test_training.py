"""The SAE's and the classifier's modules: schedules, warm-ups, metrics that cannot flatter, logging that only looks."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saelab.modules import ClassifierModule, CurvesLogger, SAEModule
from saelab.modules.optim import ramp, training_steps
from saelab.sae import ReLU


class Rows(NamedTuple):
    x: Tensor
    y: Tensor


class Data(L.LightningDataModule):
    """512 rows in 8 dimensions, as a store would serve them."""

    site, target_site = "s", None

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
        self.store = SimpleNamespace(read=lambda split, site, rows: self.x[rows])

    def train_dataloader(self) -> Any:
        return DataLoader([Rows(x, x) for x in self.x.split(64)], batch_size=None)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def trainer(path: Path, *, every: int = 1, **options: Any) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {"max_epochs": 3, "accelerator": "cpu", "log_every_n_steps": every} | quiet | options
    return L.Trainer(logger=CurvesLogger(path=path / "metrics.csv"), **options)


def module(**options: Any) -> SAEModule:
    torch.manual_seed(0)
    sae = ReLU(d_in=8, d_sae=16, l1=0.1, decoder="free")
    return SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), **options)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((path / "metrics.csv").open()))


def test_ramp_rises_holds_and_falls() -> None:
    factors = [ramp(step, 100, 0.1, 0.2) for step in range(100)]
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[10:80] == [1.0] * 70
    assert factors[90] == pytest.approx(0.5)
    assert 0 < factors[-1] <= 0.05
    assert ramp(90, 100, 0.1, 0.2, "cosine") == pytest.approx(0.5)
    assert [ramp(s, 10, 0.0, 0.0) for s in range(10)] == [1.0] * 10


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 24),
        ({"max_steps": 10}, 10),
        ({"limit_train_batches": 3}, 9),
        ({"limit_train_batches": 0.5}, 12),
        ({"accumulate_grad_batches": 3}, 9),
        ({"overfit_batches": 2}, 6),
    ],
)
def test_training_steps_are_those_that_are_taken(options: dict[str, Any], steps: int, tmp_path: Path) -> None:
    fit, sae = trainer(tmp_path, **options), module()
    fit.fit(sae, datamodule=Data())
    assert training_steps(fit) == steps
    assert fit.global_step == steps
    assert sae.total_steps == steps


def test_logging_does_not_change_training(tmp_path: Path) -> None:
    weights = []
    for every in (1, 7):
        (tmp_path / str(every)).mkdir()
        sae = module()
        trainer(tmp_path / str(every), every=every).fit(sae, datamodule=Data())
        weights.append(sae.sae.W_dec.detach().clone())
    assert torch.equal(*weights)


def test_sparsity_warms_up(tmp_path: Path) -> None:
    for name, warmup in (("with", 0.5), ("without", 0.0)):
        (tmp_path / name).mkdir()
        trainer(tmp_path / name, max_epochs=1).fit(module(sparsity_warmup=warmup), datamodule=Data())
    first = {name: float(rows_of(tmp_path / name)[0]["train/sparsity"]) for name in ("with", "without")}
    assert first["with"] == pytest.approx(first["without"] / 4, rel=1e-4)  # step 1 of 4


def test_data_is_seen_once_before_training(tmp_path: Path) -> None:
    sae, data = module(), Data()
    trainer(tmp_path, max_epochs=1).fit(sae, datamodule=data)
    assert sae.sae.norm.scale.item() == pytest.approx((8 / data.x.square().sum(1).mean()).sqrt().item(), rel=1e-5)
    torch.testing.assert_close(sae.centre, data.x.mean(0))


def test_unit_decoder_stays_unit(tmp_path: Path) -> None:
    sae = ReLU(d_in=8, d_sae=16, l1=0.1, decoder="unit")
    trainer(tmp_path).fit(SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-1)), datamodule=Data())
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(16))


@pytest.mark.parametrize("wrong", [{"sparsity_warmup": 2.0}, {"lr_warmup": 1.5}, {"lr_decay": -0.1}])
def test_fractions_are_fractions(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        trainer(tmp_path).fit(module(**wrong), datamodule=Data())


def test_curves_of_a_continued_run_forget_what_will_be_logged_again(tmp_path: Path) -> None:
    curves = CurvesLogger(path=tmp_path / "metrics.csv")
    for step in range(10):
        curves.log_metrics({"a": step}, step)
    curves.log_metrics({"b": 1.5}, 9)
    curves.save()
    again = CurvesLogger(path=tmp_path / "metrics.csv")
    again.continue_from(5)
    again.log_metrics({"a": 50.0}, 5)
    again.save()
    rows = rows_of(tmp_path)
    assert [row["a"] for row in rows] == ["0", "1", "2", "3", "4", "50.0"]
    assert [row["b"] for row in rows] == [""] * 6


def test_a_line_of_curves_that_a_kill_cut_short_is_forgotten(tmp_path: Path) -> None:
    """`12` may be the beginning of step 125."""
    path = tmp_path / "metrics.csv"
    for cut in (b"12", b"12,0.", b"125,0,1.5\r"):
        path.write_bytes(b"step,epoch,a\r\n124,0,1.25\r\n" + cut)
        curves = CurvesLogger(path=path)
        curves.continue_from(125)
        curves.log_metrics({"a": 2.5, "epoch": 0}, 125)
        curves.save()
        assert [(row["step"], row["a"]) for row in rows_of(tmp_path)] == [("124", "1.25"), ("125", "2.5")]


# ------------------------------------------------------------------------------------------------ classifiers


class Labelled(NamedTuple):
    x: Tensor
    y: Tensor
    labels: dict[str, Tensor]


def scores(logits: Tensor, digit: Tensor, tag: Tensor, tmp_path: Path) -> dict[str, float]:
    """Test metrics of a classifier that gives these logits, on targets with a slot for each digit and tag."""
    y = torch.zeros(len(logits), 6)
    y[torch.arange(len(y)), digit] = 1
    y[torch.arange(len(y)), 3 + tag] = 1
    classifier = ClassifierModule(net=nn.Identity(), optimizer=partial(torch.optim.SGD, lr=0.1))
    classifier.describe_(6, vectors=True, slots={"digit": (0, 3), "tag": (3, 6)})
    batches = [Labelled(logits, y, {"digit": digit, "tag": tag})]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    (found,) = trainer(tmp_path).test(classifier, dataloaders=loader, verbose=False)
    return dict(found)


def test_a_network_that_predicts_nothing_does_not_look_good(tmp_path: Path) -> None:
    digit, tag = torch.arange(30) % 3, torch.arange(30) // 3 % 3
    found = scores(torch.full((30, 6), -5.0), digit, tag, tmp_path)
    assert found["test/acc"] == 0  # element-wise it would be right on 4 of 6 labels
    assert found["test/f1"] == 0
    assert found["test/acc_digit"] == pytest.approx(1 / 3, abs=1e-6)


def test_scores_by_family_by_hand(tmp_path: Path) -> None:
    digit, tag = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 1, 2])
    logits = torch.full((4, 6), -5.0)
    logits[torch.arange(4), digit] = 5.0  # every digit is right
    logits[torch.arange(4), 3 + torch.tensor([0, 0, 0, 0])] = 5.0  # always tag 0: half right
    found = scores(logits, digit, tag, tmp_path)
    assert found["test/acc"] == 0.5
    assert found["test/acc_digit"] == 1.0
    assert found["test/acc_tag"] == 0.5
    # F1: digits 1, 1, 1; tag 0: 2 of 4 predictions right, all found: 2/3; tags 1 and 2: 0
    assert found["test/f1"] == pytest.approx((3 + 2 / 3) / 6, abs=1e-5)


def test_a_perfect_network_scores_one(tmp_path: Path) -> None:
    digit, tag = torch.arange(30) % 3, torch.arange(30) // 3 % 3
    logits = torch.full((30, 6), -5.0)
    logits[torch.arange(30), digit] = 5.0
    logits[torch.arange(30), 3 + tag] = 5.0
    found = scores(logits, digit, tag, tmp_path)
    for name in ("acc", "f1", "map", "acc_digit", "acc_tag"):
        assert found[f"test/{name}"] == pytest.approx(1.0, abs=1e-5), name


def test_a_row_that_grows_is_written_again_alone(tmp_path: Path) -> None:
    curves = CurvesLogger(path=tmp_path / "metrics.csv")
    curves.log_metrics({"a": 1.0, "b": 2.0}, step=1)
    curves.save()
    file = curves.path.stat().st_ino
    for step in (2, 3):
        curves.log_metrics({"a": float(step)}, step=step)
        curves.save()
        curves.log_metrics({"b": 0.5}, step=step)
        curves.save()
    assert curves.path.read_text().splitlines() == ["step,epoch,a,b", "1,,1.0,2.0", "2,,2.0,0.5", "3,,3.0,0.5"]
    assert curves.path.stat().st_ino == file
    curves.log_metrics({"c": 7.0}, step=3)  # a new column: all of it
    curves.save()
    assert curves.path.read_text().splitlines()[-1] == "3,,3.0,0.5,7.0"
    again = CurvesLogger(path=curves.path)
    again.continue_from(3)
    again.save()
    again.log_metrics({"a": 9.0}, step=3)
    assert curves.path.read_text().splitlines()[2:] == ["2,,2.0,0.5,", "3,,9.0,,"]
