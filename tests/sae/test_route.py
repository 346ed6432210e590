"""Streams that have outputs of their own, for pictures side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from variants import loss_of, make, rows, train

from saelab.sae import DenSaE, DenseVAESparse, TopK
from saelab.sae.two_stream import TwoStream, dense_side

BOTH = ["densae", "dense_vae_sparse"]
SIDE = torch.tensor([True, True, False, True, True, False])  # of two rows of three, the first two


def test_by_hand() -> None:
    assert dense_side([3, 2], 6).tolist() == SIDE.tolist()
    sae = DenseVAESparse(d_in=4, d_sae=2, z_dim=1, k=2, hidden=1, layers=1, normalize="none", route=[2, 1]).eval()
    with torch.no_grad():
        sae.dense_encoder[0].weight.fill_(1.0)
        sae.dense_encoder[0].bias.zero_()
        sae.dense_encoder[2].weight.copy_(torch.tensor([[1.0], [0.0]]))
        sae.dense_encoder[2].bias.zero_()
        sae.dense_decoder[0].weight.fill_(1.0)
        sae.dense_decoder[0].bias.zero_()
        sae.dense_decoder[2].weight.copy_(torch.tensor([[1.0], [5.0], [2.0], [5.0]]))
        sae.W_enc.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
        sae.W_dec.copy_(torch.tensor([[7.0, 1.0, 7.0, 0.0], [7.0, 0.0, 7.0, 1.0]]))
        sae.b_dec.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    # x - b_dec = (1, 2, 0, 0): z = 3, which makes (3, ., 6, .); f = (1, 2), which makes (., 1, ., 2); and b_dec
    step = sae.step(torch.tensor([[1.0, 2.0, 0.0, 1.0]]))
    assert step.y_hat.tolist() == [[3.0, 1.0, 6.0, 3.0]]
    assert sae.losses(step)["recon"].item() == 4 + 1 + 36 + 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_each_output_is_one_streams(name: str, training: bool) -> None:
    sae, x = make(name, route=[3, 2]), rows(64)
    assert isinstance(sae, TwoStream)
    train(sae, [rows(64, seed=i) for i in range(10)])
    step = sae.train(training).step(x)
    assert step.dense is not None
    torch.testing.assert_close(step.dense.y_dense[:, ~SIDE], sae.b_dec[~SIDE].expand(64, -1))
    assert not step.dense.y_sparse[:, SIDE].any()
    assert not sae.W_dec[:, SIDE].any()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(16))
    sae.eval()
    streams = sae.streams(x)
    torch.testing.assert_close(streams.dense + streams.sparse, sae(x))
    torch.testing.assert_close(sae.decode(streams.f, x), sae(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_the_loss_is_that_of_two_halves(name: str) -> None:
    """What training minimises is the dense stream's error here and the sparse one's there, and so is what is tested."""
    sae, x = make(name, route=[3, 2], aux_k=0, reanimate=0.0), rows(64)
    for mode in (True, False):
        step = sae.train(mode).step(x)
        assert step.dense is not None
        here = (step.y - step.dense.y_dense)[:, SIDE].square().sum(1)
        there = (step.y - step.dense.y_sparse - sae.b_dec)[:, ~SIDE].square().sum(1)
        torch.testing.assert_close(sae.losses(step)["recon"], (here + there).mean())


def test_no_gradient_crosses() -> None:
    sae = make("dense_vae_sparse", route=[3, 2], dead_after=10**9)
    loss_of(sae, sae.step(rows(64))).backward()
    assert not sae.W_dec.grad[:, SIDE].any() and sae.W_dec.grad[:, ~SIDE].any()
    last = sae.dense_decoder[-1].weight.grad
    assert not last[~SIDE].any() and last[SIDE].any()


def test_routed_inference_still_never_climbs() -> None:
    sae = make("densae", route=[3, 2])
    assert isinstance(sae, DenSaE)
    problem, values = sae.problem(sae.norm(rows(32))), []
    with torch.no_grad():
        for steps in range(30):
            codes = problem.minimise(sae.guess(problem), steps, momentum=True)
            values.append(problem.value(codes, codes @ problem.atoms))
    falls = torch.stack(values).diff(dim=0)
    assert (falls <= 1e-5 * (1 + values[0])).all() and (falls.sum(0) < 0).all()


def test_a_resampled_latent_goes_back_to_its_side() -> None:
    sae = make("dense_vae_sparse", route=[3, 2])
    with torch.no_grad():
        sae.W_dec[0] = 1.0
    sae.project_()
    assert not sae.W_dec[0, SIDE].any()
    torch.testing.assert_close(sae.W_dec[0].norm(), torch.tensor(1.0))


def test_sparse_weights_rest_while_the_dense_stream_is_alone() -> None:
    """What a delayed start means: no gradient, so that Adam moves nothing, and all of it afterwards."""
    sae, x = make("dense_vae_sparse", dense_first=0.5, select="shrink", l1=0.1, decoder="free"), rows(64)
    optimizer, names = torch.optim.Adam(sae.parameters(), lr=1e-2), ["W_enc", "b_enc", "W_dec"]
    before = {name: getattr(sae, name).detach().clone() for name in [*names, "b_dec"]}
    for progress in (0.0, 0.4, 0.6):
        sae.anneal_(progress)
        step = sae.step(x)
        optimizer.zero_grad()
        loss_of(sae, step).backward()
        optimizer.step()
        sae.track_(step)
        rests = [torch.equal(getattr(sae, name), before[name]) for name in names]
        assert rests == [progress < 0.5] * 3
    assert not torch.equal(sae.b_dec, before["b_dec"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"route": [3]}, r"route=\[3\] must be \[row, dense\]"),
        ({"route": [3, 3]}, "0 < dense < row"),
        ({"route": [4, 2]}, "rows of 4 do not fill d_out=6"),
        ({"route": [3, 2], "decoder": "archetypal"}, "both sides of a route"),
        ({"route": [3, 2], "d_out": 6, "skip": True}, "neither stream's"),
    ],
)
def test_rules(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make("dense_vae_sparse", **changes)


def test_a_route_is_no_part_of_the_weights() -> None:
    assert make("dense_vae_sparse", route=[3, 2]).state_dict().keys() == make("dense_vae_sparse").state_dict().keys()
    assert not hasattr(TopK(d_in=3, d_sae=4, k=1), "own_dense")
