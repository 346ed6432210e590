"""Sparse probes by hand, and against scikit-learn; absorption and splitting by hand, and against a loop over rows."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from saelab.analysis.absorption import absorption, splits
from saelab.analysis.sparse_probe import sparse_probes


def data(n=400, s=12):
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (n,), generator=g)
    codes = (torch.randn(n, s, generator=g) + 1.5 * torch.randn(3, s, generator=g)[y]).relu()
    codes[:, 2] = 0
    return codes, torch.nn.functional.one_hot(y).bool(), torch.rand(n, generator=g) < 0.7


def test_equals_sklearn():
    codes, onehot, train = data()
    found = sparse_probes(codes, onehot, train=train, sizes=(1, 3, 10))
    f, fit = codes.double().numpy(), train.numpy()
    x = StandardScaler().fit(f[fit]).transform(f)
    for c, y in enumerate(onehot.T.numpy()):
        difference = np.abs(f[fit & y].mean(0) - f[fit & ~y].mean(0))
        best = np.argsort(-difference, kind="stable")
        assert found.latents[c].tolist() == best[:10].tolist()
        assert 2 not in best[:10]
        for i, k in enumerate((1, 3, 10)):
            model = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x[fit][:, best[:k]], y[fit])
            held_out = x[~fit][:, best[:k]]
            said = model.predict(held_out)
            area = roc_auc_score(y[~fit], model.decision_function(held_out))
            assert found.auc[i, c].item() == pytest.approx(area, abs=1e-9)
            assert found.accuracy[i, c].item() == pytest.approx(accuracy_score(y[~fit], said))
            assert found.f1[i, c].item() == pytest.approx(f1_score(y[~fit], said))


def test_a_concept_of_two_latents_needs_two():
    """The concept is a or b, each of which is half of it."""
    n = torch.arange(400)
    a, b = n % 4 == 0, n % 4 == 1
    codes = torch.stack([a.float(), b.float(), (n % 3 == 0).float(), 0 * a.float()], dim=1)
    found = sparse_probes(codes, (a | b)[:, None], train=n % 5 > 0, sizes=(1, 2, 10))
    assert found.f1[:, 0].tolist() == pytest.approx([2 / 3, 1, 1])
    assert set(found.latents[0, :2].tolist()) == {0, 1}
    assert found.latents[0].tolist()[2:] == [2, -1]
    assert splits(found.f1[:2]).tolist() == [2]


def test_the_score_that_is_given_chooses():
    codes, onehot, train = data()
    score = torch.zeros(12, 3)
    score[7, 1] = score[2, 0] = 1  # latent 2 is dead
    found = sparse_probes(codes, onehot, train=train, score=score, sizes=(1,))
    assert found.latents[1].item() == 7
    assert found.latents[0].item() != 2


def test_concepts_that_fill_all_rows_or_none_and_no_latents():
    codes, onehot, train = data()
    extreme = torch.stack([onehot[:, 0], onehot[:, 0] | True, onehot[:, 0] & False], dim=1)
    found = sparse_probes(codes, extreme, train=train, sizes=(2,))
    assert not found.auc[0, 0].isnan()
    for value in (found.auc, found.accuracy, found.f1):
        assert value[0, 1:].isnan().all()
    dead = sparse_probes(codes * 0, onehot, train=train, sizes=(1, 2))
    assert (dead.latents == -1).all()
    assert (dead.auc == 0.5).all()


def test_nan_spoils_its_latent_only():
    codes, onehot, train = data()
    found = sparse_probes(codes[:, :3], onehot, train=train, sizes=(2, 3))
    codes[5, 2] = torch.nan  # the dead one
    spoilt = sparse_probes(codes[:, :3], onehot, train=train, sizes=(2, 3))
    assert torch.equal(spoilt.auc, found.auc)
    assert (spoilt.latents[:, 2] == -1).all()


def test_splits_stop_at_the_first_small_gain():
    f1 = torch.tensor([[0.5, 0.9, 0.2], [0.6, 0.91, 0.9], [0.62, 0.99, 0.95], [0.9, 0.99, 1.0]])
    assert splits(f1).tolist() == [2, 1, 4]
    assert splits(f1, gain=0.09).tolist() == [2, 1, 2]


def test_absorption_by_hand():
    """Probe along e_0; latent 0 is its own, 1 points half at it, 2 away from it, 3 nearly nowhere."""
    atoms = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.02, 1.0]])
    x = torch.tensor([[2.0, 0.0]] * 6 + [[-1.0, 0.0], [2.0, 0.0]])
    codes = torch.tensor(
        [
            [2.0, 0.0, 1.0, 0.0],  # its own latent has it all
            [0.0, 0.5, 1.0, 0.0],  # latent 1 adds 1.5 of 2 in its place: full absorption
            [1.0, 0.3, 0.0, 0.0],  # 1 of its own, 0.9 of latent 1: 0.9 / 1.9
            [1.0, 0.2, 0.0, 0.0],  # 0.6 of 2 is less than the 40 percent that count
            [1.0, 0.6, 0.0, 0.0],  # 1.8, of which only the missing 1 counts: half
            [0.0, 0.0, 0.0, 60.0],  # 1.2 of 2 by a latent that is not aligned
            [0.0, 1.0, 0.0, 0.0],  # a row without the concept
            [-0.1, 0.5, 0.0, 0.0],  # as the second, but its own latent is not silent
        ]
    )
    found = absorption(x, codes, atoms, direction=torch.tensor([5.0, 0.0]), main=torch.tensor([0]))
    assert found.fraction.tolist() == pytest.approx([0, 1, 0.9 / 1.9, 0, 0.5, 0, 0, 1])
    assert found.full.tolist() == [False, True, False, False, False, False, False, False]
    assert found.by.tolist() == [-1, 1, -1, -1, -1, -1, -1, -1]
    loose = absorption(x, codes, atoms, direction=torch.tensor([5.0, 0.0]), main=torch.tensor([0]), full_cos=0.01)
    assert loose.by.tolist() == [-1, 1, -1, -1, -1, 3, -1, -1]


def loop(x, codes, atoms, p, main):
    """One row at a time, for unit atoms, in the order of SAEBench's rules."""
    fraction, full = [], []
    cos = atoms @ p
    for row, f in zip(x, codes, strict=True):
        a, r = row @ p, f * cos
        own = sum(r[i] for i in main)
        others = sorted((r[i] for i in range(len(f)) if i not in main and cos[i] >= 0.1 and r[i] > 0), reverse=True)
        others = sum(others[:3])
        if a <= 0 or own >= a or others / a < 0.4:
            fraction.append(0.0)
        elif own <= 0:
            fraction.append(1.0)
        else:
            taken = min(others, a - own)
            fraction.append(taken / (taken + own))
        top = int(np.argmax(r))
        silent = all(f[i] == 0 for i in main)
        full.append(bool(silent and a > 0 and r[top] > 0 and cos[top] >= 0.025 and r[top] / a >= 0.4))
    return fraction, full


def test_absorption_equals_a_loop():
    g = torch.Generator().manual_seed(2)
    atoms = torch.nn.functional.normalize(torch.randn(40, 6, generator=g, dtype=torch.float64), dim=1)
    codes = torch.rand(300, 40, generator=g, dtype=torch.float64) * (torch.rand(300, 40, generator=g) < 0.1)
    x = codes @ atoms + 0.3 * torch.randn(300, 6, generator=g, dtype=torch.float64)
    p = atoms[0] + 0.2 * atoms[1]
    p = p / p.norm()
    found = absorption(x, codes, atoms, direction=p, main=torch.tensor([0, 1]))
    fraction, full = loop(x.numpy(), codes.numpy(), atoms.numpy(), p.numpy(), [0, 1])
    np.testing.assert_allclose(found.fraction.numpy(), fraction, atol=1e-12)
    assert found.full.tolist() == full
    assert 0 < sum(full) < sum(v > 0 for v in fraction)
    assert any(0 < v < 1 for v in fraction)
