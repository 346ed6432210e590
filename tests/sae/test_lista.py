"""LISTA: by hand, as ISTA, and its three forms of inhibition."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from saelab.sae import LISTA, TopK
from saelab.sae.step import UNKNOWN

SMALL: dict[str, Any] = {"d_in": 6, "d_sae": 16, "k": 4, "normalize": "none"}
STEPS: list[Any] = ["tied", "low_rank", "full"]


def test_lista_by_hand() -> None:
    sae = LISTA(d_in=2, d_sae=2, select="shrink", k=2, normalize="none", decoder="free")
    with torch.no_grad():
        sae.W_dec.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        sae.W_enc.copy_(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        sae.b_enc.copy_(torch.tensor([-1.0, 0.0]))
        sae.gain.copy_(torch.tensor([1.0, 0.5]))
    # x = (2, 1): c = (2 - 1, 3) = (1, 3) = f_0; f_0 W_dec = (4, 3); (4, 3) W_enc = (4, 7)
    # f_0 S = (1 (1 - 4), 0.5 (3 - 7)) = (-3, -2); pre = (1 - 3, 3 - 2) = (-2, 1)
    step = sae.step(torch.tensor([[2.0, 1.0]]))
    assert step.pre.tolist() == [[-2.0, 1.0]]
    assert step.f.tolist() == [[0.0, 1.0]]
    assert sae.losses(step)["recon"].item() == 1.0


def test_with_istas_weights_it_is_ista() -> None:
    torch.manual_seed(0)
    sae = LISTA(**(SMALL | {"select": "shrink", "iterations": 5})).double()
    D, x = sae.W_dec.detach(), 3 * torch.randn(20, 6).double()
    L, l1 = torch.linalg.matrix_norm(D, 2) ** 2, 0.7
    with torch.no_grad():
        sae.W_enc.copy_(D.T / L)
        sae.b_enc.fill_(-l1 / L)
        sae.gain.fill_(1.0)
    f = torch.zeros(20, 16).double()
    for _ in range(6):
        f = (f + (x - f @ D) @ D.T / L - l1 / L).relu()
    torch.testing.assert_close(sae.encode(x), f)


def test_all_forms_of_inhibition_start_alike() -> None:
    x = torch.randn(20, 6)
    codes = {}
    for step in STEPS:
        torch.manual_seed(0)
        codes[step] = LISTA(**SMALL, step=step, rank=6, iterations=3).encode(x)
    torch.testing.assert_close(codes["full"], codes["tied"])
    torch.testing.assert_close(codes["low_rank"], codes["tied"])
    torch.manual_seed(0)
    assert not torch.allclose(codes["tied"], TopK(**SMALL).encode(x))


@pytest.mark.parametrize("step", STEPS)
def test_every_form_learns_through_all_its_parameters(step: Any) -> None:
    torch.manual_seed(0)
    sae = LISTA(**SMALL, step=step, rank=3, iterations=2)
    sae.losses(sae.step(torch.randn(200, 6)))["recon"].backward()
    names = {name for name, _ in sae.named_parameters()}
    assert (
        names - {"W_enc", "W_dec", "b_enc", "b_dec"}
        == {
            "tied": {"gain"},
            "low_rank": {"gain", "U", "V"},
            "full": {"S"},
        }[step]
    )
    for name, parameter in sae.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_inhibition_is_a_product_with_s() -> None:
    torch.manual_seed(0)
    f = torch.randn(5, 16)
    for step in STEPS:
        sae = LISTA(**SMALL, step=step, rank=3)
        S = sae.inhibit(torch.eye(16))
        torch.testing.assert_close(sae.inhibit(f), f @ S)


@pytest.mark.parametrize("step", ["low_rank", "full"])
def test_a_transcoder_needs_an_s_of_its_own(step: Any) -> None:
    sae = LISTA(**SMALL, d_out=4, step=step, rank=3)
    assert sae(torch.randn(5, 6)).shape == (5, 4)
    with pytest.raises(ValueError, match="step=low_rank"):
        LISTA(**SMALL, d_out=4)


def test_shrink_has_a_penalty_and_topk_none() -> None:
    x = torch.randn(10, 6)
    sae = LISTA(**SMALL, select="shrink", l1=0.5)
    step = sae.step(x)
    torch.testing.assert_close(sae.losses(step)["sparsity"], 0.5 * step.f.sum(1).mean())
    assert "sparsity" not in LISTA(**SMALL).losses(step)


def test_levels_reconstruct_alone() -> None:
    x = torch.randn(10, 6)
    sae = LISTA(**SMALL, levels=[4, 8, 16])
    step = sae.step(x)
    errors = [(step.y - step.f[:, :n] @ sae.W_dec[:n] - sae.b_dec).square().sum(1).mean() for n in (4, 8, 16)]
    torch.testing.assert_close(sae.losses(step)["recon"], torch.stack(errors).mean())
    whole = LISTA(**SMALL)
    step = whole.step(x)
    torch.testing.assert_close(whole.losses(step)["recon"], (step.y - step.y_hat).square().sum(1).mean())


def test_a_rank_is_tried_before_the_width_is_known() -> None:
    LISTA(**(SMALL | {"step": "low_rank", "rank": 7, "d_in": UNKNOWN}))
    with pytest.raises(ValueError, match="rank=0"):
        LISTA(**(SMALL | {"step": "low_rank", "rank": 0, "d_in": UNKNOWN}))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"iterations": 0}, "iterations=0"),
        ({"step": "low_rank", "rank": 7}, "d_in=6"),
        ({"k": 17}, "d_sae=16"),
        ({"l1": -1.0}, "l1=-1.0"),
    ],
)
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LISTA(**(SMALL | wrong))
