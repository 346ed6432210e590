"""The parts of a reconstruction beside the true ones: the truth itself, streams that are swapped, one stream."""

import math

import pytest
import torch

from saelab.analysis.baselines import chance, lasso, linear
from saelab.analysis.matched import matched, matched_scores
from saelab.analysis.streams import Parts, explained, stream_scores
from saelab.analysis.truth import cosines, match, random_atoms
from saelab.data import Toy

N = 2000
FIT = torch.arange(N) < N // 2


@pytest.fixture(scope="module")
def toy():
    source = Toy(d=24, n_features=30, p=0.05, dense_dim=3, dense_scale=1.5, angle=90.0)
    batch = source.batch("test", torch.arange(N))
    s, z = batch.parts["sparse"], batch.parts["dense"]
    return batch.x, Parts(s, z, source.dictionary, z @ source.dense_basis), source.dense_basis


def test_explained_by_hand():
    y = torch.tensor([[0.0], [2.0]])
    assert explained(y, torch.tensor([[5.0], [7.0]])) == pytest.approx(1)  # a bias is free
    assert explained(y, torch.tensor([[0.0], [1.0]])) == pytest.approx(0.75)
    assert math.isnan(explained(torch.ones(3, 2), torch.zeros(3, 2)))


def test_the_truth_scores_what_it_should(toy):
    x, true, _ = toy
    found = stream_scores(x, true, true, fit=FIT)
    for name in ("dense_r2", "dense_cca", "s_in_sparse", "dense_ev", "sparse_ev", "ev"):
        assert found[name] == pytest.approx(1, abs=1e-5), name
    for name in ("z_in_sparse", "z_leak", "z_lost", "s_in_dense", "s_leak", "s_lost"):
        assert found[name] == pytest.approx(0, abs=0.05), name
    assert found["l0"] == (true.f[~FIT] != 0).sum(1).double().mean()


def test_swapped_streams_are_told(toy):
    """The dense code holds s and the sparse one z: all is explained, and all is in the wrong place."""
    x, true, basis = toy
    found = stream_scores(x, Parts(true.h, true.f, basis, true.sparse), true, fit=FIT)
    assert found["ev"] == pytest.approx(1, abs=1e-5)
    for name in ("z_in_sparse", "z_leak", "s_in_dense", "s_leak"):
        assert found[name] > 0.95, name
    for name in ("dense_r2", "s_in_sparse"):
        assert abs(found[name]) < 0.05, name
    assert found["dense_ev"] < 0 and found["sparse_ev"] < 0


def test_one_stream_has_no_dense_code(toy):
    """Signed codes of both dictionaries side by side: what is explained is all in the one stream."""
    x, true, basis = toy
    f = torch.cat([true.f, true.h], dim=1)
    one = Parts(f, x[:, :0], torch.cat([true.atoms, basis]), torch.zeros_like(x))
    found = stream_scores(x, one, true, fit=FIT)
    assert found["dense_r2"] == found["dense_cca"] == found["s_leak"] == found["s_in_dense"] == 0
    assert found["dense_ev"] == pytest.approx(0)
    assert found["z_leak"] == found["z_in_sparse"] == pytest.approx(1)
    energy = true.dense[~FIT].var(0).sum() / true.sparse[~FIT].var(0).sum()
    assert found["sparse_ev"] == pytest.approx(1 - energy.item(), abs=1e-4)


def test_matched_by_hand():
    """Latent 0 points at feature 1, latent 1 away from feature 0, which it detects by its sign; 2 has no partner."""
    codes = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    f = torch.tensor([[0.0, -2.0], [3.0, 0.0], [4.0, 0.0], [1.0, 0.0]])
    cos = torch.tensor([[0.1, 0.9, 0.3], [-0.8, 0.2, 0.4]])
    found = matched(f, codes, cos, match(cos))
    assert found.rate.tolist() == [0.25, 0.5, 0.5]
    assert found.best.tolist() == [1, 0, 1] and found.latent.tolist() == [1, 0, -1]
    assert found.auroc[:2].tolist() == [1.0, 0.5] and found.auroc[2].isnan()
    assert found.ap[:2].tolist() == pytest.approx([1.0, (1 / 2 + 2 / 3) / 2])
    scores = matched_scores(found)
    assert scores["best_cos"] == pytest.approx((0.8 + 0.9 + 0.4) / 3)
    assert scores["matched_cos"] == pytest.approx(0.85)
    assert scores["matched_auroc"] == pytest.approx(0.75)


def test_the_lasso_finds_what_can_be_found(toy):
    x, true, basis = toy
    found = stream_scores(x, lasso(x, true, basis, fit=FIT), true, fit=FIT)
    for name in ("dense_r2", "dense_cca", "s_in_sparse", "dense_ev", "sparse_ev"):
        assert found[name] > 0.995, name


def test_the_lasso_is_at_its_minimum(toy):
    """No iteration moves it: twice as many give the same codes."""
    x, true, basis = toy
    few, many = (lasso(x, true, basis, fit=FIT, iterations=n).f for n in (200, 800))
    torch.testing.assert_close(few, many, atol=1e-3, rtol=0)


def test_the_lasso_equals_sklearn():
    """Of isotropic noise it is scikit-learn's, non-negative, at alpha = λ σ² / d on the rows as they are."""
    from sklearn.linear_model import Lasso

    source = Toy(d=8, n_features=12, p=0.2, dense="ambient_gaussian", dense_dim=8, dense_scale=0.3)
    batch = source.batch("test", torch.arange(400))
    s, z = batch.parts["sparse"], batch.parts["dense"]
    basis, fit = source.dense_basis, torch.arange(400) < 200
    mine = lasso(batch.x, Parts(s, z, source.dictionary, z @ basis), basis, fit=fit, iterations=3000).f
    other = (batch.x - s @ source.dictionary)[fit].double()
    values, axes = torch.linalg.eigh(other.T.cov(correction=0))
    whiten = axes / values.sqrt()
    rows, atoms = (batch.x.double() - other.mean(0)) @ whiten, source.dictionary.double() @ whiten
    rate = (s[fit] > 0).double().mean(0)
    penalty = ((1 - rate) / rate).log()  # amplitudes are 1; scaled into the atoms, as scikit-learn has but one alpha
    model = Lasso(alpha=1 / 8, positive=True, fit_intercept=False, tol=1e-12, max_iter=100_000)
    for i in range(5):
        theirs = model.fit((atoms / penalty[:, None]).T.numpy(), rows[i].numpy()).coef_ / penalty.numpy()
        torch.testing.assert_close(mine[i].double(), torch.from_numpy(theirs), atol=2e-3, rtol=0)


def test_linear_maps_leak_where_they_explain(toy):
    x, true, basis = toy
    found = stream_scores(x, linear(x, true, basis, fit=FIT), true, fit=FIT)
    assert found["dense_r2"] > 0.99  # the parts are orthogonal
    assert found["ev"] > 0.99 and found["l0"] == 30


def test_chance_is_as_sparse_as_it_is_told_and_sees_no_truth(toy):
    x, true, _ = toy
    found = chance(x, Parts(true.f, true.h, true.atoms, true.dense), k=2, fit=FIT)
    assert found.f.shape == true.f.shape and found.h.shape == true.h.shape
    assert ((found.f > 0).sum(1) <= 2).all() and (found.f >= 0).all()
    scores = stream_scores(x, found, true, fit=FIT)
    assert scores["dense_r2"] < 0.6 and scores["s_in_sparse"] < 0.4
    one = chance(x, Parts(true.f, x[:, :0], true.atoms, true.dense), k=2, fit=FIT)
    assert torch.equal(one.f, found.f)  # the same directions, whether or not there is a dense code
    pairs = matched(found.f, true.f, (cos := cosines(random_atoms(30, 24), true.atoms)), match(cos))
    assert matched_scores(pairs)["matched_cos"] < 0.6
