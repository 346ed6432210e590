"""overcomplete's files as its documentation has them, made by hand, against its formulas written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from files import D_IN, D_SAE, X, assert_computes, imported, top, weights
from torch import Tensor

from saelab import formats, sae


def overcomplete(path: Path, tensors: dict[str, Tensor], **cfg: Any) -> sae.SAE:
    (path / "overcomplete.json").write_text(json.dumps(cfg))
    torch.save(tensors, path / "state_dict.pt")
    return imported("overcomplete", path)


def encoder(w: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "encoder.final_block.0.weight": w["W_enc"].T,
        "encoder.final_block.0.bias": w["b_enc"],
        "dictionary._weights": w["W_dec"],
        "dictionary.multiplier": torch.tensor(0.3),
    }


@pytest.mark.parametrize("normalization", [None, "l2", "l1", "max_l2", "max_l1", "identity"])
def test_overcomplete_sae_and_how_its_dictionary_is_normalised(tmp_path: Path, normalization: str | None) -> None:
    w = weights()
    args = {} if normalization is None else {"dictionary_params": {"normalization": normalization}}
    made = overcomplete(tmp_path, encoder(w), **{"class": "SAE", "args": args})
    how = normalization or "l2"
    norms = w["W_dec"].norm(p=1 if "l1" in how else 2, dim=1, keepdim=True)
    D = w["W_dec"] / (1 if how == "identity" else norms.max() if "max" in how else norms) * torch.tensor(0.3).exp()
    assert_computes(made, (X @ w["W_enc"] + w["b_enc"]).relu() @ D)


@pytest.mark.parametrize("k", [None, 4])
def test_overcomplete_topk_and_a_centre(tmp_path: Path, k: int | None) -> None:
    w = weights()
    centre = w["b_dec"].tolist()
    made = overcomplete(tmp_path, encoder(w), **{"class": "TopKSAE", "args": {"top_k": k}, "centre": centre})
    D = torch.nn.functional.normalize(w["W_dec"], dim=1) * torch.tensor(0.3).exp()
    f = top((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], k or D_SAE // 10)
    assert_computes(made, f @ D + w["b_dec"])


def test_overcomplete_keeps_codes_at_their_threshold(tmp_path: Path) -> None:
    w = weights() | {"W_enc": torch.eye(D_IN, D_SAE), "b_enc": torch.zeros(D_SAE)}
    tensors = encoder(w) | {"thresholds": torch.full((D_SAE,), 0.5).log()}
    made = overcomplete(tmp_path, tensors, **{"class": "JumpSAE", "args": {}})
    at = torch.full((D_SAE,), 0.5).log().exp()[0]  # what overcomplete compares with
    assert (made.encode(torch.full((1, D_IN), at.item()))[0, :D_IN] > 0).all()
    assert not made.encode(torch.full((1, D_IN), at.item() - 1e-6)).any()


def test_overcomplete_batchtopk_needs_its_running_threshold(tmp_path: Path) -> None:
    w = weights()
    with pytest.raises(formats.Unsupported, match="running_threshold"):
        overcomplete(tmp_path, encoder(w), **{"class": "BatchTopKSAE", "args": {"top_k": 99}})
    made = overcomplete(tmp_path, encoder(w), **{"class": "BatchTopKSAE", "args": {}, "running_threshold": 0.8})
    D = torch.nn.functional.normalize(w["W_dec"], dim=1) * torch.tensor(0.3).exp()
    f = (X @ w["W_enc"] + w["b_enc"]).relu()
    assert_computes(made, f * (f >= 0.8) @ D)


def test_overcomplete_archetypal(tmp_path: Path) -> None:
    w = weights()
    parts = {"C": torch.randn(7, D_IN), "W": torch.randn(D_SAE, 7), "Relax": 2 * torch.randn(D_SAE, D_IN)}
    parts["Relax"][0] = 0
    parts["W"][:, 0].abs_()  # a row without a positive entry mixes nothing
    tensors = {k: v for k, v in encoder(w).items() if k != "dictionary._weights"}
    tensors |= {f"dictionary.{k}": v for k, v in parts.items()}
    made = overcomplete(tmp_path, tensors, **{"class": "RATopKSAE", "args": {"top_k": 4, "delta": 0.5}})
    A = parts["W"].relu()
    relax = parts["Relax"] * (0.5 / parts["Relax"].norm(dim=1, keepdim=True)).clamp_max(1)
    D = (A / A.sum(1, keepdim=True) @ parts["C"] + relax) * torch.tensor(0.3).exp()
    assert_computes(made, top(X @ w["W_enc"] + w["b_enc"], 4) @ D)


@pytest.mark.parametrize(
    ("extra", "cfg", "says"),
    [
        ({"encoder.mlp_blocks.0.0.weight": torch.ones(2)}, {"class": "SAE"}, "only the linear encoder"),
        ({}, {"class": "QSAE"}, "'QSAE' is none of"),
        ({}, {"class": "SAE", "args": {"dictionary_params": {"normalization": "l7"}}}, "l7"),
    ],
)
def test_what_overcomplete_has_and_we_do_not(
    tmp_path: Path, extra: dict[str, Tensor], cfg: dict[str, Any], says: str
) -> None:
    with pytest.raises(formats.Unsupported, match=says):
        overcomplete(tmp_path, encoder(weights()) | extra, **cfg)


def test_overcomplete_without_a_description_says_what_to_write(tmp_path: Path) -> None:
    torch.save(encoder(weights()), tmp_path / "state_dict.pt")
    with pytest.raises(formats.Unsupported, match=r"overcomplete\.json.*TopKSAE"):
        formats.read("overcomplete", tmp_path)
