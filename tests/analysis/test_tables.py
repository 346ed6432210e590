"""Tables and arrays: the numbers in them, and that they survive the disk."""

import csv

import numpy as np
import pytest
import torch

from saelab.analysis.arrays import examples_arrays, latents_arrays, pixels
from saelab.analysis.concept_scores import score_families
from saelab.analysis.save import write_csv, write_npz
from saelab.analysis.tables import (
    class_families,
    code_statistics,
    concepts_table,
    confusion_table,
    density_table,
    probe_metrics,
    probe_table,
)
from saelab.data.source import Family


def planted(n=90):
    """Latent c fires on class c; latent 3 is dead; latent 4 fires on everything but class 0."""
    y = torch.arange(n) % 3
    codes = torch.zeros(n, 5)
    codes[torch.arange(n), y] = 1 + torch.rand(n, generator=torch.Generator().manual_seed(0))
    codes[:, 4] = (y > 0).float()
    return codes, y


def probe_rows(f1):
    row = {"family": "digit", "accuracy": 0.9, "auc": 0.95, "precision": 0.9, "recall": 0.9, "f1": f1, "n": 18}
    return [row | {"class": c, "split": s} for c in ("all", "a", "b", "c") for s in ("test", "cv")]


FAMILIES = {"digit": Family(classes=("a", "b", "c")), "speed": Family(factors=("v",))}


def test_concepts_table_finds_the_planted_latents():
    codes, y = planted()
    y[:5] = -1  # unlabelled
    scored = score_families(codes=codes, labels={"digit": y}, classes=class_families(FAMILIES))
    rows = concepts_table(scored, probe_rows={"raw": probe_rows(0.8), "codes": probe_rows(0.7)})
    assert [r["best_latent"] for r in rows] == [0, 1, 2]
    assert [r["best_latent_auc"] for r in rows] == [1, 1, 1]
    assert sum(r["n"] for r in rows) == 85
    assert rows[0]["probe_f1_raw"] == 0.8
    assert rows[0]["probe_auc_codes"] == 0.95


def test_density_and_confusion_by_hand():
    codes = torch.tensor([[0.0, 2.0], [0.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    density, mean = code_statistics(codes)
    rows = density_table(density=density, mean_active=mean, decoder_norm=torch.ones(2))
    assert rows[0] == {"latent": 0, "density": 0.0, "mean_active": 0.0, "decoder_norm": 1.0}
    assert rows[1]["density"] == 0.5
    assert rows[1]["mean_active"] == 3.0
    table = confusion_table(predicted=torch.tensor([0, 1, 1]), target=torch.tensor([0, 0, 1]), classes=("x", "y"))
    assert table == [{"true": "x", "x": 1, "y": 1}, {"true": "y", "x": 0, "y": 1}]


def test_probe_tables():
    both = {"raw": probe_rows(0.8), "codes": probe_rows(0.7)}
    assert len(probe_table(both)) == 16
    assert probe_table(both)[0]["features"] == "raw"
    assert probe_metrics(both)["probe/codes/digit/f1"] == 0.7


def test_examples_and_gallery_arrays(tmp_path):
    codes, y = planted()
    images = torch.rand(90, 1, 4, 4)
    rows = concepts_table(
        score_families(codes=codes, labels={"digit": y}, classes=class_families(FAMILIES)), probe_rows={}
    )
    arrays = latents_arrays(
        codes=codes,
        concepts=rows,
        images_of=lambda i: images[i],
        label_of=lambda i, family: [FAMILIES[family].classes[c] for c in y[i]],
        k=40,
    )
    write_npz(tmp_path / "figures/latents.npz", arrays)
    read = np.load(tmp_path / "figures/latents.npz")  # no pickle
    assert read["images"].shape == (3, 40, 4, 4)
    assert read["concept"].tolist() == ["digit: a", "digit: b", "digit: c"]
    assert read["label"][1].tolist() == ["b"] * 30 + [""] * 10
    assert (read["value"][:, 30:] == 0).all()

    act = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    ex = examples_arrays(images=images[:2], label=["a", "b"], act=act, recon=act * 0.5, mean=torch.zeros(2))
    np.testing.assert_allclose(ex["ev"], [0.75, 0.75])
    assert pixels(torch.rand(2, 3, 4, 4)).shape == (2, 4, 4, 3)
    with pytest.raises(ValueError, match="give"):
        pixels(torch.rand(2, 5))


def test_csv_leaves_holes_empty(tmp_path):
    path = write_csv(tmp_path / "deep/t.csv", [{"a": 1, "b": float("nan")}, {"a": 2, "c": "x,y"}])
    assert list(csv.DictReader(path.open())) == [{"a": "1", "b": "", "c": ""}, {"a": "2", "b": "", "c": "x,y"}]
