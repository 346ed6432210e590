"""Which concepts are recovered: by hand, on codes in which it is known, and the arrays that go to disk."""

import math

import numpy as np
import pytest
import torch

from saelab.analysis.concept_scores import (
    concept_metrics,
    random_half,
    recovery_rows,
    score_arrays,
    score_families,
    shared_latents,
)
from saelab.analysis.concepts import Univariate, auc
from saelab.analysis.save import write_npz
from saelab.analysis.selectivity import selectivity

CLASSES = {"letter": ("a", "b", "c", "d")}


def planted(n=400):
    """Latent 0 fires on a alone, 1 on b and c alike, 2 on everything but d; 3 never; 4 at random."""
    y = torch.arange(n) % 4
    codes = torch.zeros(n, 5)
    codes[:, 0] = (y == 0).float()
    codes[:, 1] = ((y == 1) | (y == 2)).float()
    codes[:, 2] = (y != 3).float()
    codes[:, 4] = torch.rand(n, generator=torch.Generator().manual_seed(0))
    return codes, y


def scored(**options):
    codes, y = planted()
    return score_families(codes=codes, labels={"letter": y}, classes=CLASSES, **options)


def test_recovered_and_detected_of_planted_latents():
    """b and c share a latent, whose AUC for each is 5/6: neither is found; d has one that falls silent on it."""
    rows = recovery_rows(scored(), resamples=50)
    assert [(r["concept"], r["recovered"], r["detected"]) for r in rows] == [
        ("a", 1, 1),
        ("b", 0, 0),
        ("c", 0, 0),
        ("d", 1, 1),
    ]
    assert [r["best_auc"] for r in rows] == pytest.approx([1, 5 / 6, 5 / 6, 1], abs=0.03)
    for row in rows:
        assert row["best_auc_low"] <= row["best_auc"] <= row["best_auc_high"]
    assert rows[0]["best_auc_low"] == rows[0]["best_auc_high"] == 1
    assert 0 < rows[1]["best_auc_high"] - rows[1]["best_auc_low"] < 0.1
    assert "best_auc_low" not in recovery_rows(scored())[0]


def test_thresholds_are_the_ones_given():
    """Latent 1 tells the pair b and c from a as well as any of them from the rest: it detects one of the four."""
    found = scored()
    assert sum(r["detected"] for r in recovery_rows(found, selective=0.75)) in (2, 3)
    assert [r["detected"] for r in recovery_rows(found, selective=1.0)] == [0, 0, 0, 0]
    assert [r["recovered"] for r in recovery_rows(found, selective=1.0)] == [1, 0, 0, 1]
    assert [r["recovered"] for r in recovery_rows(found, pure=1.0)] == [0, 0, 0, 0]


def test_mean_auc_is_over_the_living():
    """On d: 0 and 1 are silent on it, as on much else; 2 is silent on it alone; 4 knows nothing."""
    codes, y = planted()
    found = scored()
    half = random_half(len(y), 0)
    sign = found["letter"].scores.sign[:, 3]
    area = auc(codes[~half], (y[~half] == 3)[:, None])[:, 0]
    oriented = torch.where(sign > 0, area, 1 - area)[[0, 1, 2, 4]]
    assert recovery_rows(found)[3]["mean_auc"] == pytest.approx(oriented.mean().item())


def test_metrics_are_those_of_selectivity():
    found = scored()
    metrics = concept_metrics(found)
    assert metrics["letter/recovered"] == 2
    assert metrics["letter/detected"] == 2
    assert metrics["letter/coverage"] == 3  # latent 1 goes to the pair's luckier half or to a's, 4 anywhere
    assert metrics["dead"] == pytest.approx(1 / 5)
    assert metrics["letter/entropy"] == selectivity(found["letter"].scores)["entropy"]


def test_shared_latents_by_hand():
    """Unions of the paths of each class, their overlaps averaged over pairs and then over the two families."""
    codes = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0], [5.0, 0.0, 1.0]])
    labels = {"x": torch.tensor([0, 0, 1, 1]), "y": torch.tensor([0, 1, 2, 0])}
    found = score_families(codes=codes, labels=labels, classes={"x": ("p", "q"), "y": ("p", "q", "r")})
    # x, one latent a row: {0, 1} and {2, 0} share 1.  y: {0}, {1}, {2} share none.
    assert shared_latents(found, top_k=1) == pytest.approx(0.5)
    # two a row: x {0, 1, 2} and {0, 1, 2}: 3.  y {0, 1, 2}, {1, 2}, {1, 2}: 2 of each pair.
    assert shared_latents(found, top_k=2) == pytest.approx(2.5)


def test_unlabelled_rows_and_factors_are_left_out():
    codes, y = planted()
    y[:100] = -1
    found = score_families(codes=codes, labels={"letter": y, "speed": codes}, classes=CLASSES)
    assert list(found) == ["letter"]
    assert len(found["letter"].onehot) == 300
    assert found["letter"].scores.density.tolist() == pytest.approx([0.25, 0.5, 0.75, 0, 1], abs=0.01)


def test_rows_of_one_image_are_on_one_side():
    groups = torch.arange(100).repeat_interleave(4)
    half = random_half(400, 3, groups)
    assert half.sum() == 200
    assert all(len(set(half[groups == g].tolist())) == 1 for g in range(100))
    assert not torch.equal(half, random_half(400, 4, groups))


def test_arrays_on_disk_give_the_scores_back(tmp_path):
    """What is read is enough to tell again what is recovered, at any threshold."""
    found = scored()
    write_npz(tmp_path / "concept_scores.npz", score_arrays(found))
    with np.load(tmp_path / "concept_scores.npz", allow_pickle=False) as file:
        assert sorted(file.files) == [
            "alive",
            "density",
            *(f"letter/{n}" for n in ("classes", "sign", "test", "train")),
        ]
        assert file["letter/classes"].tolist() == ["a", "b", "c", "d"]
        arrays = {n: torch.from_numpy(file[n]) for n in file.files if n != "letter/classes"}
    again = Univariate(
        *(arrays[f"letter/{n}"] for n in ("train", "test")), arrays["letter/sign"], arrays["alive"], arrays["density"]
    )
    assert selectivity(again) == selectivity(found["letter"].scores)
    assert arrays["alive"].tolist() == [True, True, True, False, True]


def test_codes_that_never_fire_recover_nothing():
    found = score_families(codes=torch.zeros(40, 3), labels={"letter": torch.arange(40) % 4}, classes=CLASSES)
    rows = recovery_rows(found, resamples=5)
    assert [r["recovered"] for r in rows] == [0] * 4
    assert all(math.isnan(r["best_auc"]) and math.isnan(r["mean_auc"]) for r in rows)
    assert concept_metrics(found)["dead"] == 1
