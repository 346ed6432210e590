"""The table of latents beside the truth, and the headline numbers."""

import math

import pytest
import torch

from saelab.analysis.truth import count
from saelab.analysis.truth_table import (
    detection_scores,
    detection_table,
    direction_scores,
    directions,
    directions_table,
)

FEATURES = torch.eye(4)[:3]
ATOMS = torch.tensor([[0.0, 2.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.6, 0.0, 0.0, 0.8], [0.0, 0.0, 0.0, 1.0]])
ALIVE = torch.tensor([True, True, True, False])


def test_directions_by_hand():
    rows = directions_table(directions(ATOMS, FEATURES), ALIVE)
    assert [row["feature"] for row in rows[:3]] == [1, 0, 0]
    assert [row["cos"] for row in rows[:3]] == pytest.approx([1, -1, 0.6])
    assert [row["matched"] for row in rows[:2]] == [1, 0]
    assert sorted(row["matched"] for row in rows) == [-1, 0, 1, 2]
    assert sum(math.isnan(row["chance_cos"]) for row in rows) == 1  # four latents, three features
    assert [row["alive"] for row in rows] == [1, 1, 1, 0]


def test_direction_scores_by_hand():
    scores = direction_scores(directions(ATOMS, FEATURES), ALIVE)
    assert scores["mcc"] == pytest.approx(2 / 3)
    assert scores["uniqueness"] == pytest.approx(2 / 3)
    assert scores["found"] == pytest.approx(2 / 3)
    assert 0.2 < scores["chance_mcc"] < 0.9


def test_detection_by_hand():
    codes = torch.tensor([[1.0, 0.0, 0.0], [2.0, 3.0, 0.0]])
    part = torch.tensor([[0.0, 0.5], [3.0, 1.0]])
    target = torch.tensor([1, 0])
    counts, area = count(part, part != 0, codes, target), torch.tensor([1.0, torch.nan], dtype=torch.float64)
    rows = detection_table(counts, target, area)
    assert [row["density"] for row in rows] == [0.5, 1]
    assert [row["feature_rate"] for row in rows] == [0.5, 1]
    assert [row["shrinkage"] for row in rows] == [1, 0.5]
    scores = detection_scores(counts, area)
    assert scores == {"precision": 1, "recall": 1, "f1": 1, "auroc": 1, "shrinkage": 0.75, "l0": 1.5}
