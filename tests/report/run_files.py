"""Run directories as commands leave them, made from small real digits by the functions that commands call."""

import json
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from saelab.analysis.arrays import examples_arrays, latents_arrays
from saelab.analysis.concept_scores import recovery_rows, score_families
from saelab.analysis.save import write_csv, write_npz
from saelab.analysis.tables import (
    code_statistics,
    concepts_table,
    confusion_table,
    density_table,
    probe_metrics,
    probe_table,
)
from saelab.data.source import Family

CLASSES = tuple("0123456789")
FAMILIES = {"digit": Family(classes=CLASSES)}
CONFIG = "data:\n  _target_: saelab.data.MNIST\nmodel:\n  _target_: saelab.sae.TopK\n  k: 8\npaths:\n  log_dir: logs\n"


def info(**more) -> dict:
    return {
        "name": "digits_topk",
        "kind": "sae",
        "status": "finished",
        "command": "python src/train.py experiment=digits_topk seed=3",
        "git_sha": "0123abc",
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "wall_s": 75.2,
        "peak_mb": 512,
        "store": {"path": "logs/stores/5eed", "hash": "5eed5eed5eed", "rows": 1797},
        "base": {"run": "logs/runs/mlp", "hash": "ba5eba5eba5e"},
        "created": "2025-01-01T12:00:00",
        "seed": 3,
    } | more


def write_run(path: Path, facts: dict, metrics: dict | None, config: str = CONFIG) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(json.dumps(facts))
    (path / "config.yaml").write_text(config)
    if metrics is not None:
        (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def write_curves(path: Path) -> None:
    rows = [{"step": s, "epoch": 0, "train/loss": 5 / s, "train/ev": 1 - 1 / s} for s in range(1, 30)]
    rows += [{"step": s, "epoch": 0, "val/ev": 1 - 1.2 / s, "val/l0": 8, "val/dead": 0.25} for s in (10, 20, 29)]
    write_csv(path / "metrics.csv", rows)


def probe_rows(accuracy: float) -> list[dict]:
    score = {"accuracy": accuracy, "auc": 0.99, "precision": 0.9, "recall": 0.9, "f1": 0.9, "n": 360}
    return [
        {"family": "digit", "class": c, "split": s} | score | ({"accuracy_std": 0.01} if s == "cv" else {})
        for c in ("all", *CLASSES)
        for s in ("test", "cv")
    ]


def sae_run(path: Path) -> Path:
    """An SAE's run with every table and array; pixels stand for activations, random features for codes."""
    x, y = (torch.tensor(a) for a in load_digits(return_X_y=True))
    x = x.float() / 16
    pre = (x - x.mean(0)) @ torch.randn(64, 40, generator=torch.Generator().manual_seed(0))
    value, index = pre.topk(8)
    codes = torch.zeros_like(pre).scatter_(1, index, value.relu())
    codes[:, :3] = 0
    names = [CLASSES[c] for c in y]
    probes = {"raw": probe_rows(0.974), "codes": probe_rows(0.97)}

    density, mean_active = code_statistics(codes)
    norm = torch.ones(40)
    scored = score_families(codes=codes, labels={"digit": y}, classes={"digit": CLASSES})
    more = recovery_rows(scored, resamples=20)
    concepts = [a | b for a, b in zip(concepts_table(scored, probe_rows=probes), more, strict=True)]
    figures = path / "figures"
    write_csv(figures / "density.csv", density_table(density=density, mean_active=mean_active, decoder_norm=norm))
    write_csv(figures / "probes.csv", probe_table(probes))
    write_csv(figures / "concepts.csv", concepts)
    images = x.view(-1, 8, 8)
    gallery = latents_arrays(
        codes=codes, concepts=concepts[:4], images_of=lambda i: images[i], label_of=lambda i, _: [names[j] for j in i]
    )
    write_npz(figures / "latents.npz", gallery)
    few = examples_arrays(
        images=images[:4],
        label=names[:4],
        act=x[:4],
        recon=0.9 * x[:4],
        mean=x.mean(0),
        pred_orig=names[:4],
        pred_recon=names[1:5],
    )
    write_npz(figures / "examples.npz", few)
    write_curves(path)
    final = {"test/ev": 0.974, "test/l0": 8.0, "test/dead": 0.075, "test/acc_recovered": 0.991, "test/mse": 0.01}
    return write_run(path, info(), final | probe_metrics(probes))


def classifier_run(path: Path, accuracy: float = 0.9, width: int = 64) -> Path:
    predicted, target = torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 0, 0])
    table = confusion_table(predicted=predicted, target=target, classes=("cat", "dog"))
    write_csv(path / "figures/confusion.csv", table)
    config = (
        f"data:\n  _target_: saelab.data.MNIST\nmodel:\n  net:\n    _target_: saelab.nets.MLP\n    width: {width}\n"
    )
    facts = info(name=f"mlp_{width}", kind="classifier", store=None, base=None)
    return write_run(path, facts, {"test/acc": accuracy, "test/loss": 0.31}, config)
