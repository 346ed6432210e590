"""Purities by hand, and against a loop over latents."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from saelab.analysis.purity import KINDS, purity, purity_summary


def onehot_of(y, c):
    return torch.nn.functional.one_hot(torch.as_tensor(y), c).bool()


def test_purity_by_hand():
    """The band of latent 0 is {8, 5, 4} of classes 0, 0, 1: p = (2/3, 1/3, 0); latent 1's is one row of class 2."""
    codes = torch.tensor([[8.0, 0.0, 0.0], [5.0, 0.1, 0.0], [4.0, 0.0, 0.0], [3.9, 2.0, 0.0]])
    p = purity(codes, onehot_of([0, 0, 1, 2], 3))
    torch.testing.assert_close(p.share[:2], torch.tensor([[2 / 3, 1 / 3, 0], [0, 0, 1]], dtype=torch.float64))
    assert p.rows.tolist() == [3, 1, 0]
    assert p.csi[:2].tolist() == pytest.approx([(2 / 3 - 1 / 6) / (2 / 3), 1])
    assert p.entropy[:2].tolist() == pytest.approx([1 - entropy([2, 1]) / math.log(3), 1])
    assert p.gini[:2].tolist() == pytest.approx([5 / 9, 1])
    assert p.top2[:2].tolist() == pytest.approx([0.5, 0])
    assert p.active[:2].tolist() == [2, 1]
    assert [KINDS[k] for k in p.kind[:2]] == ["pure", "pure"]
    assert p.kind[2] == -1
    for value in (p.csi, p.entropy, p.gini, p.top2, p.active):
        assert value[2].isnan()


def test_kinds_and_their_thresholds():
    shares = {"pure": (8, 1, 1), "compositional": (5, 4, 1), "distributed": (4, 4, 3)}
    for kind, counts in shares.items():
        y = np.repeat(range(3), counts)
        p = purity(torch.ones(len(y), 1), onehot_of(y, 3))
        assert KINDS[int(p.kind)] == kind
    p = purity(torch.ones(10, 1), onehot_of(np.repeat(range(3), (8, 1, 1)), 3), pure=0.95)
    assert KINDS[int(p.kind)] == "compositional"
    assert p.active.item() == 1  # exactly a tenth is not more than a tenth


def test_what_is_shared_equally_has_no_purity():
    p = purity(torch.ones(6, 1), onehot_of([0, 0, 1, 1, 2, 2], 3))
    assert (p.csi.item(), p.top2.item()) == (0, 1)
    assert p.entropy.item() == pytest.approx(0, abs=1e-12)


def test_no_band_where_nothing_is_positive_or_known():
    codes = torch.tensor([[-1.0, torch.nan, 1.0], [-2.0, 1.0, 0.0]])
    onehot = torch.tensor([[False, False], [True, False]])  # the row of the third latent's band has no concept
    p = purity(codes, onehot)
    assert p.kind.tolist() == [-1, -1, -1]
    summary = purity_summary(p)
    assert summary["unscored"] == 3
    assert math.isnan(summary["mean_csi"])
    assert math.isnan(summary["weighted_csi"])
    with pytest.raises(ValueError, match="at least 2"):
        purity(codes, onehot[:, :1])


def reference(f, y, classes):
    """One latent at a time."""
    counts = np.array([sum((f >= 0.5 * f.max()) & (y == c)) for c in range(classes)])
    p = counts / counts.sum()
    others = [q for q in p if q != p.max()]
    return {
        "csi": (p.max() - np.mean(others)) / p.max() if others else 0,
        "entropy": 1 - entropy(p) / np.log(classes),
        "gini": sum(p**2),
        "top2": sorted(p)[-2] / p.max(),
        "active": sum(p > 0.1),
        "rows": counts.sum(),
    }


def test_purity_equals_a_loop():
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 5, (300,), generator=g)
    codes = (torch.randn(300, 20, generator=g) + torch.randn(5, 20, generator=g)[y]).where(
        torch.rand(300, 20, generator=g) < 0.3, 0.0
    )
    codes[:, 3] = 0
    p = purity(codes, onehot_of(y, 5))
    living = [i for i in range(20) if i != 3]
    expected = [reference(codes[:, i].numpy(), y.numpy(), 5) for i in living]
    for name in expected[0]:
        np.testing.assert_allclose(getattr(p, name)[living].numpy(), [e[name] for e in expected], atol=1e-12)
    summary = purity_summary(p)
    rows = np.array([e["rows"] for e in expected])
    assert summary["unscored"] == 1
    assert sum(summary[kind] for kind in KINDS) == 19
    assert summary["mean_csi"] == pytest.approx(np.mean([e["csi"] for e in expected]))
    assert summary["weighted_gini"] == pytest.approx(np.average([e["gini"] for e in expected], weights=rows))


def test_a_row_with_two_concepts_counts_for_both():
    onehot = torch.tensor([[True, True], [True, False], [False, False]])
    p = purity(torch.ones(3, 1), onehot)
    assert p.share.flatten().tolist() == pytest.approx([2 / 3, 1 / 3])
