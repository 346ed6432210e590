"""Scores against the truth: by hand, against naive loops, against scikit-learn."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from saelab.analysis.truth import (
    add,
    auroc,
    cosines,
    count,
    f1,
    found,
    match,
    mcc,
    precision,
    random_atoms,
    recall,
    shrinkage,
    targets,
    uniqueness,
)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def some(n, s, t, seed=0):
    """Codes of latents and of features, sparse, and a target for each latent."""
    g = generator(seed)
    f = torch.randn(n, s, generator=g) * (torch.rand(n, s, generator=g) < 0.3)
    codes = torch.rand(n, t, generator=g) * (torch.rand(n, t, generator=g) < 0.4)
    return f, codes, torch.randint(0, t, (s,), generator=g)


def test_cosines_by_hand():
    atoms = torch.tensor([[2.0, 0.0], [-1.0, -1.0], [0.0, 0.0]])
    features = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    r = 0.5**0.5
    torch.testing.assert_close(cosines(atoms, features), torch.tensor([[1.0, 0.0], [-r, -r], [0.0, 0.0]]))


def test_matching_by_hand():
    """Greedy would take 0.9 and be left with 0.1; together 0.8 and -0.8 are more."""
    cos = torch.tensor([[0.9, 0.8], [-0.8, 0.1]])
    pairs = match(cos)
    assert (pairs.latent.tolist(), pairs.feature.tolist()) == ([0, 1], [1, 0])
    assert mcc(cos) == pytest.approx(0.8)
    assert targets(cos).tolist() == [0, 0]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_matching_is_the_best_of_all(s, t, seed):
    cos = torch.rand(s, t, generator=generator(seed)) * 2 - 1
    a = cos.abs() if s <= t else cos.abs().T
    best = max(sum(a[i, p].item() for i, p in enumerate(order)) for order in permutations(range(a.shape[1]), len(a)))
    pairs = match(cos)
    assert len(set(pairs.latent.tolist())) == len(set(pairs.feature.tolist())) == min(s, t)
    assert pairs.cos.sum().item() == pytest.approx(best, abs=1e-5)
    assert mcc(cos) == pytest.approx(best / min(s, t), abs=1e-5)


def test_the_dictionary_itself_scores_one_whatever_its_order_signs_and_lengths():
    v = random_atoms(40, 12, seed=1)
    order = torch.randperm(40, generator=generator(2))
    cos = cosines(v[order] * -3, v)
    assert mcc(cos) == pytest.approx(1, abs=1e-6)
    assert torch.equal(match(cos).feature, order)
    assert found(cos, torch.ones(40, dtype=torch.bool)) == 1
    assert uniqueness(targets(cos), torch.ones(40, dtype=torch.bool)) == 1


def test_chance_falls_with_the_dimension():
    scores = [mcc(cosines(random_atoms(100, d), random_atoms(100, d, seed=1))) for d in (4, 16, 64)]
    assert scores[0] > scores[1] > scores[2] > 0.2
    torch.testing.assert_close(random_atoms(9, 5).norm(dim=1), torch.ones(9))


def test_uniqueness_and_found_by_hand():
    cos = torch.tensor([[0.95, 0.1, 0.0], [-0.92, 0.2, 0.3], [0.0, 0.91, 0.1], [0.0, 0.0, 0.99]])
    alive = torch.tensor([True, True, True, False])
    assert targets(cos).tolist() == [0, 0, 1, 2]
    assert uniqueness(targets(cos), alive) == pytest.approx(2 / 3)
    assert found(cos, alive) == pytest.approx(2 / 3)
    nothing = torch.zeros(4, dtype=torch.bool)
    assert uniqueness(targets(cos), nothing) == found(cos, nothing) == 0


def test_detection_by_hand():
    """Fires on rows 0, 1, 2; its feature on 1, 2, 3: precision and recall 2/3. r = (2, 1) for a = (4, 2): half."""
    part = torch.tensor([[9.0], [2.0], [1.0], [0.0], [0.0]])
    codes = torch.tensor([[0.0], [4.0], [2.0], [7.0], [0.0]])
    c = count(part, part != 0, codes, torch.tensor([0]))
    assert (c.rows, c.fired, c.present, c.both, c.true) == (5, 3, 3, 2, 3)
    for score in (precision, recall, f1):
        assert score(c).item() == pytest.approx(2 / 3)
    assert shrinkage(c).item() == pytest.approx((2 * 4 + 1 * 2) / (16 + 4))


def test_the_dead_and_the_absent_score_zero():
    part = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    codes = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    c = count(part, part != 0, codes, torch.tensor([0, 1]))
    for score in (precision, recall, f1):
        assert score(c).tolist() == [0, 0]
    assert shrinkage(c).isnan().all()


def test_detection_equals_sklearn_and_loops():
    f, codes, target = some(200, 9, 5)
    c = count(f, f != 0, codes, target)
    for i, t in enumerate(target.tolist()):
        fires, true = (f[:, i] != 0).numpy(), (codes[:, t] != 0).numpy()
        assert precision(c)[i].item() == pytest.approx(precision_score(true, fires))
        assert recall(c)[i].item() == pytest.approx(recall_score(true, fires))
        assert f1(c)[i].item() == pytest.approx(f1_score(true, fires))
        both = [b for b in range(200) if f[b, i] != 0 and codes[b, t] != 0]
        slope = sum((f[b, i] * codes[b, t]).item() for b in both) / sum((codes[b, t] ** 2).item() for b in both)
        assert shrinkage(c)[i].item() == pytest.approx(slope, rel=1e-5)


def test_counts_of_parts_add_to_the_whole():
    f, codes, target = some(100, 6, 4)
    whole = count(f, f != 0, codes, target)
    parts = add(*(count(a, a != 0, b, target) for a, b in zip(f.split(60), codes.split(60), strict=True)))
    for x, y in zip(whole, parts, strict=True):
        torch.testing.assert_close(x, y)


def test_auroc_equals_sklearn():
    f, codes, target = some(150, 8, 5, seed=3)
    f[:, 0] = f[:, 0].round(decimals=0)  # ties
    present = codes[:, target] != 0
    present[:, 1] = True
    present[:, 2] = False
    area = auroc(f, present)
    assert area[1:3].isnan().all()
    for i in (0, 3, 4, 5, 6, 7):
        assert area[i].item() == pytest.approx(roc_auc_score(present[:, i].numpy(), f[:, i].numpy()), abs=1e-9)
    assert auroc(f * 0, codes[:, target] != 0).tolist() == [0.5] * 8
