"""Outputs as means and as logits: by hand, against torch and naive loops, and in every variant that takes logits."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits
from variants import loss_of, make, names, spec, train

from saelab.run import build
from saelab.sae import SAE, TopK
from saelab.sae.likelihood import Kind, Likelihood, cross_entropy
from saelab.sae.two_stream import TwoStream

LOGITS = {"likelihood": "bernoulli", "normalize": "none", "b_dec_init": "mean"}


def pixels(n: int, d: int = 6, seed: int = 0) -> Tensor:
    """Rows between 0 and 1 with two patterns in them, of which the first is rare."""
    g = torch.Generator().manual_seed(seed)
    on = torch.rand(n, 2, generator=g) < torch.tensor([0.2, 0.6])
    pattern = torch.arange(d) % 3 == torch.tensor([[0], [1]])
    return (0.9 * (on.float() @ pattern.float()) + 0.05 * torch.rand(n, d, generator=g)).clamp(0, 1)


def of_logits(name: str, **changes: Any) -> SAE:
    """A small variant of logits, initialised; a variant that refuses is skipped."""
    torch.manual_seed(0)
    try:
        sae = build(spec(name, **(LOGITS | changes)))
    except ValueError as reason:
        pytest.skip(str(reason))
    sae.init_from_(pixels(512, sae.d_in))
    return sae


def test_cross_entropy_by_hand() -> None:
    y_hat, y = torch.tensor([[0.0, log(3.0)], [log(3.0), 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.5]])
    # σ = (1/2, 3/4), (3/4, 1/2): rows −log 1/2 − log 3/4 and −log 1/4 − log 1/2
    rows = [log(2) + log(4 / 3), log(4) + log(2)]
    form = Likelihood("bernoulli")
    torch.testing.assert_close(form.nll(y_hat, y), torch.tensor(rows))
    assert form.error(y_hat, y).item() == pytest.approx(sum(rows) / 2)
    assert cross_entropy(y_hat, y).item() == pytest.approx(sum(rows) / 2)
    # what is on counts three times: the second row's last entry is half on
    weighted = [3 * (log(2) + log(4 / 3)), log(4) + (3 * 0.5 + 0.5) * log(2)]
    assert Likelihood("bernoulli", 3.0).error(y_hat, y).item() == pytest.approx(sum(weighted) / 2)
    torch.testing.assert_close(form.residual(y_hat, y), torch.tensor([[0.5, 0.25], [-0.75, 0.0]]))


def test_weighted_squares_by_hand() -> None:
    y_hat, y = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert Likelihood().error(y_hat, y).item() == 0.5
    assert Likelihood("gaussian", 5.0).error(y_hat, y).item() == 5 * 0.25 + 0.25
    assert Likelihood("gaussian", 5.0).score(y_hat, y).tolist() == [[2.5, -0.5]]


@pytest.mark.parametrize("p", [0.5, 1.0, 7.0])
def test_the_weight_of_what_is_on_is_torchs_and_that_of_loops(p: float) -> None:
    torch.manual_seed(0)
    y_hat, y = 3 * torch.randn(5, 4), torch.rand(5, 4)
    ours = Likelihood("bernoulli", p).error(y_hat, y)
    torch.testing.assert_close(
        ours, binary_cross_entropy_with_logits(y_hat, y, pos_weight=torch.tensor(p), reduction="sum") / 5
    )
    total = 0.0
    for row, target in zip(y_hat.tolist(), y.tolist(), strict=True):
        for logit, t in zip(row, target, strict=True):
            q = 1 / (1 + exp(-logit))
            total -= p * t * log(q) + (1 - t) * log(1 - q)
    assert ours.item() == pytest.approx(total / 5, rel=1e-4)
    squares = sum((1 + (p - 1) * t) * (t - r) ** 2 for r, t in zip(y_hat.ravel(), y.ravel(), strict=True))
    assert Likelihood("gaussian", p).error(y_hat, y).item() == pytest.approx(float(squares) / 5, rel=1e-5)


@pytest.mark.parametrize("p", [1.0, 4.0, 0.3])
@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_scores_are_gradients_and_curvature_bounds_their_slope(kind: Kind, p: float) -> None:
    form = Likelihood(kind, p)
    y_hat = torch.linspace(-6, 6, 200).double()[:, None].requires_grad_()
    for target in (0.0, 0.3, 1.0):
        y = torch.full_like(y_hat, target)
        (slope,) = torch.autograd.grad(form.nll(y_hat, y).sum(), y_hat)
        torch.testing.assert_close(form.score(y_hat, y), -slope)
        turns = form.score(y_hat, y).diff(dim=0) / y_hat.diff(dim=0)
        assert -turns.min() <= form.curvature * (1 + 1e-9)


def test_outputs_that_stand_for_targets() -> None:
    form, y = Likelihood("bernoulli"), torch.tensor([0.0, 0.25, 1.0])
    torch.testing.assert_close(form.expected(form.output(y)), torch.tensor([0.001, 0.25, 0.999]))
    assert Likelihood().output(y) is y and Likelihood().expected(y) is y
    # what is on counts three times: a quarter that is on is worth as much as the rest, σ(y_hat) = 1/2
    form = Likelihood("bernoulli", 3.0)
    torch.testing.assert_close(form.output(y)[1], torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(form.expected(form.output(y)), torch.tensor([0.001, 0.25, 0.999]))
    torch.testing.assert_close(form.residual(torch.zeros(1, 1), torch.ones(1, 1)), torch.full((1, 1), 0.75))


@pytest.mark.parametrize("p", [0.2, 1.0, 5.0])
def test_the_best_constant_is_the_mean_whatever_the_weight(p: float) -> None:
    form, y = Likelihood("bernoulli", p), pixels(400).double()
    y_hat = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([y_hat], max_iter=200, tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = form.error(y_hat.expand_as(y), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(form.expected(y_hat).detach(), y.mean(0, keepdim=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(form.output(y.mean(0)), y_hat.detach()[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("start", "p"), [("mean", 1.0), ("median", 1.0), ("mean", 5.0)])
def test_no_codes_give_the_base_rate(start: str, p: float) -> None:
    x = pixels(512)
    sae = TopK(d_in=6, d_sae=16, k=4, **(LOGITS | {"b_dec_init": start, "pos_weight": p}))  # type: ignore[arg-type]
    sae.init_from_(x)
    empty = sae.decode(torch.zeros(1, 16)).squeeze(0).detach()
    if start == "mean":
        torch.testing.assert_close(empty, x.mean(0))
        rate = x.mean(0).expand_as(x)
        bce = cross_entropy(sae.likelihood.logits(sae.b_dec).expand_as(x), x)
        torch.testing.assert_close(bce, binary_cross_entropy(rate, x, reduction="sum") / len(x))
        if p == 1:
            torch.testing.assert_close(sae.likelihood.error(sae.b_dec.expand_as(x), x), bce)
    torch.testing.assert_close(sae.origin, empty)  # what inputs are centred at is no logit
    assert (empty - x.mean(0)).abs().max() < 0.5


@pytest.mark.parametrize("name", names())
def test_what_a_user_sees_is_between_0_and_1(name: str) -> None:
    sae, x = of_logits(name).eval(), pixels(32)
    step = sae.step(x)
    torch.testing.assert_close(sae(x), step.y_hat.sigmoid())
    torch.testing.assert_close(sae.decode(sae.encode(x), x), sae(x), rtol=1e-4, atol=1e-5)
    assert sae(x).min() >= 0 and sae(x).max() <= 1
    if isinstance(sae, TwoStream):
        streams = sae.streams(x)
        torch.testing.assert_close(streams.dense + streams.sparse, sae(x))
        assert step.dense is not None
        torch.testing.assert_close(streams.dense, step.dense.y_dense.sigmoid())


@pytest.mark.parametrize("name", names())
def test_training_of_logits_beats_the_base_rate(name: str) -> None:
    changes = {"d_in": 12, "d_sae": 16} | ({"l1": 0.1} if name in ("relu", "gated", "p_anneal", "densae") else {})
    sae = of_logits(name, **changes, dead_after=1000)
    x = pixels(512, 12, seed=9)
    rate = cross_entropy(sae.b_dec.detach().expand_as(x), x).item()
    train(sae, [pixels(128, 12, seed=i) for i in range(120)])
    step = sae.eval().step(x)
    assert cross_entropy(step.y_hat, x).item() < 0.85 * rate
    assert all(p.isfinite().all() for p in sae.parameters())


@pytest.mark.parametrize("name", [name for name in names() if make(name).trained])
def test_treatments_of_logits_are_finite_where_all_are_dead(name: str) -> None:
    sae = of_logits(name, ghost=0.1, reanimate=0.1, aux_k=3)
    sae.idle.fill_(10**6)
    loss = loss_of(sae, sae.step(pixels(64)))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in sae.parameters())


def test_both_paths_are_equal_for_logits() -> None:
    x = pixels(64, 8).double()
    dense, sparse = (of_logits("topk", d_in=8, d_sae=32, pos_weight=3.0).double() for _ in range(2))
    dense.density.fill_(1.0)
    sparse.density.fill_(0.0)
    a, b = dense.step(x), sparse.step(x)
    assert a.where is None and b.where is not None
    torch.testing.assert_close(b.y_hat, a.y_hat)
    loss_of(dense, a).backward()
    loss_of(sparse, b).backward()
    for (key, p), q in zip(dense.named_parameters(), sparse.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-5, atol=1e-8, msg=lambda m, key=key: f"{key}: {m}")


def test_gradients_of_logits_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    sae = TopK(d_in=4, d_sae=6, k=6, pos_weight=2.0, aux_k=0, **LOGITS).double()  # type: ignore[arg-type]
    x, keys = torch.rand(3, 4).double(), ["W_enc", "W_dec", "b_enc", "b_dec"]

    def loss(*values: Tensor) -> Tensor:
        y_hat = torch.func.functional_call(sae, dict(zip(keys, values, strict=True)), (x,)).logit()
        return sae.likelihood.error(y_hat, x)

    assert torch.autograd.gradcheck(loss, [getattr(sae, key).detach().clone().requires_grad_() for key in keys])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"normalize": "scale"}, "normalize=none, not scale"),
        ({"likelihood": "gaussian", "pos_weight": 2.0, "normalize": "whiten"}, "normalize=none, not whiten"),
        ({"pos_weight": 0.0}, "pos_weight=0.0"),
        ({"decoder": "archetypal"}, "no logits"),
    ],
)
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TopK(**({"d_in": 6, "d_sae": 16, "k": 4} | LOGITS | wrong))


@pytest.mark.parametrize("changes", [{}, {"likelihood": "gaussian", "pos_weight": 2.0}])
def test_targets_beyond_0_and_1_are_told(changes: dict[str, Any]) -> None:
    sae = TopK(d_in=6, d_sae=16, k=4, **(LOGITS | changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"between 0 and 1.*go from -1 to 2"):
        sae.init_from_(torch.tensor([[-1.0] * 6, [2.0] * 6]))


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("matching_pursuit", LOGITS, "squared residual"),
        ("omp", {"normalize": "none", "pos_weight": 2.0}, "squared residual"),
        ("pca", LOGITS, "likelihood=gaussian"),
        ("lista", LOGITS, "logits are not in the space of the input"),
    ],
)
def test_what_has_no_logits_says_why(name: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(name, **changes)
