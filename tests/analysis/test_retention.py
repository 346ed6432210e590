"""What is left of each concept, computed a second time without care for speed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from saelab.analysis.ablation import ablation_metrics, ablation_rows
from saelab.analysis.concept_scores import score_families
from saelab.analysis.retention import RIDGE, readout, retention


def test_beside_a_naive_computation() -> None:
    g = torch.Generator().manual_seed(0)
    label = torch.randint(3, (200,), generator=g)
    label[:20] = -1  # rows without a label
    codes = torch.randn(200, 12, generator=g).relu()
    codes[:, :2] = torch.eye(3)[label.clamp(min=0)][:, :2] * (label >= 0)[:, None]  # pure for two classes of three
    y = torch.randn(200, 4, generator=g) + 3
    y_hat = y + 0.3 * torch.randn(200, 4, generator=g) * (1 + label[:, None])
    scored = score_families(codes=codes, labels={"c": label}, classes={"c": ("x", "y", "z")})
    found = retention(scored, {"c": label}, y, y_hat)
    train = scored["c"].train.numpy()
    f, on = codes[label >= 0].double().numpy(), label[label >= 0].numpy()
    centred = f[train] - f[train].mean(0)
    alpha = RIDGE * (centred**2).sum(1).mean()
    assert [found["c", name]["pure"] for name in "xyz"] == [1, 1, 0]
    for i, name in enumerate("xyz"):
        own = [r for r in range(200) if label[r] == i]
        error = sum(float((y[r] - y_hat[r]).double().square().sum()) for r in own)
        around = sum(float((y[r] - y.mean(0)).double().square().sum()) for r in own)
        assert found["c", name]["ev"] == pytest.approx(1 - error / around)
        score = Ridge(alpha=alpha).fit(f[train], on[train] == i).predict(f[~train])
        assert found["c", name]["probe_auc"] == pytest.approx(roc_auc_score(on[~train] == i, score))


def test_more_latents_than_rows() -> None:
    g = torch.Generator().manual_seed(0)
    onehot = torch.eye(2, dtype=torch.bool).repeat(20, 1)
    codes = torch.cat([onehot.float(), torch.zeros(40, 100)], 1) + 0.1 * torch.randn(40, 102, generator=g)
    train = torch.arange(40) < 20
    assert readout(codes, onehot, train=train).tolist() == [1, 1]
    codes, f = codes[:, 2:], codes[:, 2:].double().numpy()  # noise alone
    alpha = RIDGE * ((f[:20] - f[:20].mean(0)) ** 2).sum(1).mean()
    score = Ridge(alpha=alpha).fit(f[:20], onehot[:20, 0]).predict(f[20:])
    assert readout(codes, onehot, train=train)[0].item() == pytest.approx(roc_auc_score(onehot[20:, 0], score))
    assert readout(torch.zeros(40, 3), onehot, train=train).tolist() == [0.5, 0.5]


def looks() -> list[dict]:
    """Three digits and a tag at three steps: digit 1 falls and half comes back, 2 falls less and 0 rises."""
    auc = {"0": (0.8, 0.9, 0.9), "1": (1.0, 0.6, 0.8), "2": (0.9, 0.6, 0.9)}
    table = []
    for i, step in enumerate((4, 6, 10)):
        for name, values in auc.items():
            cells = {"best_auc": values[i], "probe_auc": 1.0, "ev": 0.5, "recovered": int(values[i] > 0.85)}
            table.append({"step": str(step), "epoch": "0", "family": "digit", "concept": name} | cells)
        table.append({"step": str(step), "epoch": "0", "family": "tag", "concept": "1", "best_auc": 0.5})
    return [*table, table[0] | {"step": "5"}]


def test_measures_by_hand() -> None:
    rows = ablation_rows(looks(), concept="digit/1", steps={"before": 4, "after": 6, "end": 10})
    assert [(row["phase"], row["concept"], row["target"]) for row in rows[:4]] == [
        *(("before", "0", 0), ("before", "1", 1), ("before", "2", 0)),
        ("after", "0", 0),
    ]
    assert len(rows) == 9
    found = ablation_metrics(rows)
    assert found["best_auc/target_drop"] == pytest.approx(0.4)
    assert found["best_auc/bystander_drop"] == pytest.approx((-0.1 + 0.3) / 2)
    assert found["best_auc/selectivity"] == pytest.approx(0.3)
    assert found["best_auc/recovery"] == pytest.approx(0.5)
    assert found["recovered/target_drop"] == 1
    assert found["recovered/recovery"] == 0
    assert found["ev/target_drop"] == 0
    assert "ev/recovery" not in found  # nothing was lost
    assert np.isfinite(list(found.values())).all()
