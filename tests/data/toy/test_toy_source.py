"""Rows are what their parts say, to the bit; arguments that exclude each other are told."""

import math

import pytest
import torch

from saelab.data import Toy
from saelab.data.toy.dense import SHAPES

INDEX = torch.arange(3000)


def test_a_row_is_the_sum_of_its_parts():
    source = Toy(d=12, n_features=30, dense_dim=2, amplitude="folded_normal", amplitude_std=0.3, dense="sphere")
    batch = source.batch("train", INDEX, 1)
    exact = batch.parts["sparse"].double() @ source.dictionary.double()
    exact += batch.parts["dense"].double() @ source.dense_basis.double()
    assert torch.equal(batch.x, exact.float())
    assert torch.equal(batch.y, (batch.parts["sparse"] != 0).float())
    assert torch.equal(batch.labels["dense"], batch.parts["dense"])
    assert source.families["dense"].factors == ("z0", "z1")
    assert source.n_out == 30 and source.input_shape == (12,)


def test_the_noise_is_what_is_left():
    source = Toy(d=40, noise_std=0.25)
    batch = source.batch("val", INDEX)
    noise = batch.x - batch.parts["sparse"] @ source.dictionary
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert abs(noise.mean()) < 0.005
    assert torch.corrcoef(noise.T).sub(torch.eye(40)).abs().max() < 5 / math.sqrt(3000)


def test_scales_multiply_the_parts():
    one, two = Toy(dense_dim=2, seed=3), Toy(dense_dim=2, sparse_scale=3.0, dense_scale=0.5, seed=3)
    a, b = one.batch("test", INDEX).parts, two.batch("test", INDEX).parts
    torch.testing.assert_close(b["sparse"], 3 * a["sparse"], atol=1e-6, rtol=0)
    torch.testing.assert_close(b["dense"], a["dense"] / 2, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sparse", ["bernoulli", "exactly_k", "with_replacement", "tree"])
@pytest.mark.parametrize("dense", SHAPES)
def test_every_sparse_mode_with_every_shape(sparse, dense):
    """Any scale ratio; a row is its parts' sum, and the same alone, in another order and in another batch."""
    trees = {"trees": 4} if sparse == "tree" else {}
    source = Toy(
        d=8, n_features=40, sparse=sparse, dense=dense, dense_dim=None, dense_energy=4.0, noise_std=0.1, **trees
    )
    batch, order = source.batch("test", INDEX), torch.randperm(200)
    s, z = batch.parts["sparse"], batch.parts["dense"]
    assert s.shape == (3000, 40) and z.shape == (3000, len(source.dense_basis))
    noise = batch.x - s @ source.dictionary - z @ source.dense_basis
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    squares = z.double().square().sum(1)
    assert squares.mean() == pytest.approx(4, abs=4.5 * squares.std().item() / math.sqrt(3000) + 1e-4)
    for index in (INDEX[:200][order], INDEX[7:8]):
        again = source.batch("test", index)
        assert torch.equal(again.x, batch.x[index])
        assert all(torch.equal(again.parts[name], batch.parts[name][index]) for name in ("sparse", "dense"))


def test_either_part_can_be_off():
    sparse = Toy()
    assert sparse.families == {} and sparse.batch("val", INDEX).labels == {}
    assert sparse.batch("val", INDEX).parts["dense"].shape == (3000, 0)
    dense = Toy(n_features=0, dense_dim=3)
    batch = dense.batch("val", INDEX)
    assert batch.parts["sparse"].shape == (3000, 0)
    torch.testing.assert_close(batch.x.norm(dim=1), torch.ones(3000), atol=1e-5, rtol=0)


def test_rates_are_those_of_the_rows():
    source = Toy(n_features=60, rates="zipf", trees=4, depth=2, correlation=0.2, p_max=0.5)
    fires = source.batch("train", torch.arange(40_000)).y.double()
    p = source.rates
    assert ((fires.mean(0) - p).abs() / (p * (1 - p) / 40_000).sqrt()).max() < 4.5
    assert p[0] == pytest.approx(0.5)


def test_the_reference_tree():
    """dense_sparse.md §6.1: 4 parents at 0.15, three children at 1/4 each and none at 1/4, 16 leaves at 0.05."""
    source = Toy(n_features=32, sparse="tree", trees=4, branching=3, p_root=0.15, p_childless=0.25, p=0.05)
    expected = torch.tensor([0.15] * 4 + [0.0375] * 12 + [0.05] * 16, dtype=torch.float64)
    torch.testing.assert_close(source.rates, expected)
    fires = source.batch("train", torch.arange(40_000)).y
    error = (fires.double().mean(0) - expected).abs() / (expected * (1 - expected) / 40_000).sqrt()
    assert error.max() < 4.5
    family = fires[:, 4:16].unflatten(1, (4, 3)).sum(2)
    assert family.max() == 1
    assert not (family > fires[:, :4]).any()


def test_children_scale_with_their_parents():
    options = {"n_features": 4, "trees": 1, "amplitude": "folded_normal", "amplitude_std": 0.4, "p": 0.5, "depth": 1}
    plain, scaled = Toy(**options), Toy(**options, scale_by_parent=True)
    a, b = (source.batch("train", INDEX).parts["sparse"] for source in (plain, scaled))
    assert torch.equal(a > 0, b > 0)
    torch.testing.assert_close(b[:, 1:], a[:, 1:] * a[:, :1], atol=1e-6, rtol=0)  # the parent's mean is 1
    assert torch.equal(b[:, 0], a[:, 0])


@pytest.mark.parametrize("angle", [0, 35, 90])
@pytest.mark.parametrize("dense", ["gaussian", "lowfreq_dct"])
def test_the_angle_between_the_parts(angle, dense):
    source = Toy(d=30, n_features=100, sparse_dim=10, dense=dense, dense_dim=3, angle=angle)
    span = torch.linalg.svd(source.dictionary.double(), full_matrices=False).Vh[:10]
    cos = torch.linalg.svdvals(span @ source.dense_basis.double().T).clamp(max=1)
    torch.testing.assert_close(cos, torch.full((3,), math.cos(math.radians(angle))).double(), atol=1e-5, rtol=0)
    assert torch.linalg.matrix_rank(source.dictionary.double(), rtol=1e-4) == 10


def test_null_leaves_room():
    assert torch.linalg.matrix_rank(Toy(d=30, dense_dim=4, angle=90).dictionary.double(), rtol=1e-4) == 26
    assert torch.linalg.matrix_rank(Toy(d=30, dense_dim=4, angle=0).dictionary.double(), rtol=1e-4) == 30
    assert torch.linalg.matrix_rank(Toy(d=30, dense_dim=4).dictionary.double(), rtol=1e-4) == 30


def test_seeds_splits_and_epochs_differ_but_the_dictionary_is_one():
    source, other = Toy(dense_dim=2), Toy(dense_dim=2, seed=1)
    first = source.batch("train", INDEX).x
    for x in (source.batch("train", INDEX, 1).x, source.batch("val", INDEX).x, other.batch("train", INDEX).x):
        assert not torch.isclose(first, x).all(1).any()
    assert not torch.isclose(source.dictionary, other.dictionary).all(1).any()
    longer = Toy(dense_dim=2, train_length=100_000)
    assert torch.equal(longer.batch("train", INDEX).x, first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_length": 0}, "train_length=0 is too small"),
        ({"d": 0}, "d=0 is too small"),
        ({"n_features": -1}, "n_features=-1 is too small"),
        ({"n_features": 0}, "n_features=0 and dense_dim=0 leave nothing but noise"),
        ({"noise_std": -0.1}, "noise_std=-0.1 is too small"),
        ({"sparse_scale": 0.0}, "sparse_scale=0.0 is too small; it must be greater than 0"),
        ({"dense_scale": 0.0}, "dense_scale=0.0 is too small"),
        ({"dense_energy": 2.0}, "dense_energy=2.0 says how strong the dense part is, but dense_dim=0, dense_scale=1.0"),
        ({"dense_energy": 2.0, "dense_dim": 2, "dense_scale": 3.0}, "set dense_energy to null, or dense_dim above 0"),
        ({"dense_energy": 0.0, "dense_dim": 2}, "dense_energy=0.0 is too small; it must be greater than 0"),
        ({"dense_dim": 21}, r"dense_dim=21 is out of range; it must lie in \[0, 20\]"),
        ({"sparse": "topk"}, "sparse='topk' is unknown; choose one of bernoulli, exactly_k, with_replacement, tree"),
        ({"rates": "flat"}, "rates='flat' is unknown"),
        ({"correlation": 1.0}, r"correlation=1.0 is out of range"),
        ({"sparse": "exactly_k", "k": 101}, r"k=101 is out of range; it must lie in \[1, 100\]"),
        ({"sparse": "exactly_k", "rates": "zipf"}, "rates=zipf has no meaning with sparse=exactly_k; set rates=equal"),
        (
            {"sparse": "with_replacement", "trees": 2},
            "trees=2 has no meaning with sparse=with_replacement; set trees=0",
        ),
        ({"sparse": "exactly_k", "correlation": 0.1}, "correlation=0.1 has no meaning .* set correlation=0.0"),
        ({"sparse": "tree"}, "trees=0 leaves sparse=tree without a tree; set trees to 1 or more, or sparse=bernoulli"),
        ({"sparse": "tree", "trees": 2, "rates": "zipf"}, "rates=zipf has no meaning with sparse=tree"),
        ({"scale_by_parent": True}, "scale_by_parent=true needs parents; set trees to 1 or more"),
        ({"trees": 30}, "trees=30, branching=3, depth=1 take 120 features, but n_features=100"),
        ({"angle": 100.0, "dense_dim": 2}, r"angle=100.0 is out of range; it must lie in \[0, 90\]"),
        ({"angle": 90.0}, "angle=90.0 is between two parts, but there is only one; set angle to null"),
        ({"angle": 90.0, "dense_dim": 2, "sparse_dim": 19}, r"angle=90.0 needs sparse_dim \+ dense_dim <= d, but d=20"),
        ({"angle": 5.0, "dense_dim": 20, "dense": "gaussian"}, "angle=5.0 needs sparse_dim"),
        ({"sparse_dim": 21}, r"sparse_dim=21 is out of range; it must lie in \[1, 20\]"),
        ({"device": "gpu"}, "device='gpu' is no torch device"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Toy(**arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_same_items():
    options = {"dense_dim": 4, "dense": "torus", "rates": "zipf", "trees": 4, "correlation": 0.3, "noise_std": 0.1}
    a, b = Toy(**options).batch("train", INDEX, 2), Toy(**options, device="cuda").batch("train", INDEX, 2)
    assert torch.equal(a.y, b.y.cpu())
    torch.testing.assert_close(a.x, b.x.cpu(), atol=1e-5, rtol=0)
