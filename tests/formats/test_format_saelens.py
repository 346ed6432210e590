"""SAELens's files as its documentation has them, made by hand, against its formulas written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from files import D_IN, D_SAE, X, assert_computes, imported, top, weights
from safetensors.torch import save_file
from torch import Tensor

from saelab import formats, sae


def four(*names: str) -> dict[str, Tensor]:
    w = weights()
    return {name: w[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec", *names)}


def saelens(path: Path, tensors: dict[str, Tensor], **cfg: Any) -> sae.SAE:
    standard = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12"},
    }
    (path / "cfg.json").write_text(json.dumps(standard | cfg))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path / "sae_weights.safetensors")
    return imported("saelens", path)


@pytest.mark.parametrize("subtracts", [True, False])
def test_saelens_standard(tmp_path: Path, subtracts: bool) -> None:
    w = four()
    made = saelens(tmp_path, w, apply_b_dec_to_input=subtracts)
    assert type(made) is sae.ReLU
    f = ((X - w["b_dec"] * subtracts) @ w["W_enc"] + w["b_enc"]).relu()
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("rescale", [True, False])
def test_saelens_topk(tmp_path: Path, rescale: bool) -> None:
    w = four()
    made = saelens(tmp_path, w, architecture="topk", k=4, rescale_acts_by_decoder_norm=rescale)
    assert type(made) is sae.TopK
    norms = w["W_dec"].norm(dim=1) if rescale else torch.ones(D_SAE)
    f = top(((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norms, 4)
    assert_computes(made, f / norms @ w["W_dec"] + w["b_dec"])


def test_saelens_jumprelu(tmp_path: Path) -> None:
    w = four("threshold")
    made = saelens(tmp_path, w, architecture="jumprelu")
    pre = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    assert_computes(made, pre.relu() * (pre > w["threshold"]) @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("subtracts", [True, False])
def test_saelens_gated(tmp_path: Path, subtracts: bool) -> None:
    w = weights()
    tensors = {"W_enc": w["W_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"], "b_gate": w["b_enc"]}
    tensors |= {"b_mag": w["threshold"], "r_mag": w["b_enc"].flip(0) / 2}
    made = saelens(tmp_path, tensors, architecture="gated", apply_b_dec_to_input=subtracts)
    assert type(made) is sae.Gated
    x = X - w["b_dec"] * subtracts
    gate = x @ w["W_enc"] + w["b_enc"] > 0
    f = gate * (x @ (w["W_enc"] * tensors["r_mag"].exp()) + tensors["b_mag"]).relu()
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


def test_saelens_abs_topk(tmp_path: Path) -> None:
    w = four()
    made = saelens(tmp_path, w, architecture="abstopk", k=4, rescale_acts_by_decoder_norm=False)
    assert type(made) is sae.AbsTopK
    pre = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = torch.where(top(pre.abs(), 4) > 0, pre, 0)
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


def test_saelens_layer_norm_divides_by_n_minus_1(tmp_path: Path) -> None:
    w = four()
    x = X - X.mean(1, keepdim=True)
    std = x.std(1, keepdim=True)
    f = ((x / std - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    made = saelens(tmp_path, w, normalize_activations="layer_norm")
    assert_computes(made, (f @ w["W_dec"] + w["b_dec"]) * std + X.mean(1, keepdim=True))


@pytest.mark.parametrize("subtracts", [True, False])
def test_saelens_matching_pursuit(tmp_path: Path, subtracts: bool) -> None:
    w = weights()
    W_dec = torch.nn.functional.normalize(w["W_dec"], dim=1)
    tensors = {"W_dec": W_dec, "b_dec": w["b_dec"]}
    cfg = {"residual_threshold": 0.0, "max_iterations": 5, "stop_on_duplicate_support": False}
    made = saelens(tmp_path, tensors, architecture="matching_pursuit", apply_b_dec_to_input=subtracts, **cfg)
    assert type(made) is sae.MatchingPursuit
    rest = X - w["b_dec"] * subtracts
    for _ in range(5):
        best = (rest @ W_dec.T).relu().max(1)
        rest = rest - best.values[:, None] * W_dec[best.indices]
    assert_computes(made, X - rest)  # which has b_dec where it was subtracted


def test_saelens_matching_pursuit_with_other_norms_is_refused(tmp_path: Path) -> None:
    w = weights()
    with pytest.raises(formats.Unsupported, match="ours have norm one"):
        saelens(tmp_path, {"W_dec": w["W_dec"], "b_dec": w["b_dec"]}, architecture="matching_pursuit")


def test_saelens_matching_pursuit_ends_a_row_after_a_repeat_or_near_zero(tmp_path: Path) -> None:
    w = weights()
    W_dec = torch.nn.functional.normalize(w["W_dec"], dim=1)
    cfg = {"residual_threshold": 2.0, "max_iterations": None, "stop_on_duplicate_support": True}
    made = saelens(tmp_path, {"W_dec": W_dec, "b_dec": w["b_dec"]}, architecture="matching_pursuit", **cfg)
    expected = torch.zeros(len(X), D_SAE)
    for row, f in zip(X - w["b_dec"], expected, strict=True):
        for _ in range(D_IN):  # as many steps as entries, where max_iterations is null
            i = (W_dec @ row).argmax()
            again, c = f[i] > 0, (W_dec[i] @ row).relu()
            f[i] += c
            row -= c * W_dec[i]
            if again or row.norm() < 2.0:
                break
    assert len(set((expected > 0).sum(1).tolist())) > 2
    torch.testing.assert_close(made.encode(X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("jump", [True, False])
def test_saelens_transcoder(tmp_path: Path, jump: bool, skip: bool) -> None:
    w = four("threshold")
    d_out = 9
    w["W_dec"], w["b_dec"], w["W_skip"] = torch.randn(D_SAE, d_out), torch.randn(d_out), torch.randn(d_out, D_IN)
    name = ("jumprelu_" if jump else "") + ("skip_" if skip else "") + "transcoder"
    tensors = {k: v for k, v in w.items() if (k != "W_skip" or skip) and (k != "threshold" or jump)}
    made = saelens(tmp_path, tensors, architecture=name, d_out=d_out, apply_b_dec_to_input=False)
    assert made.transcoder
    pre = X @ w["W_enc"] + w["b_enc"]
    f = pre.relu() * (pre > w["threshold"]) if jump else pre.relu()
    assert_computes(made, f @ w["W_dec"] + w["b_dec"] + (X @ w["W_skip"].T if skip else 0))


def test_saelens_before_version_6(tmp_path: Path) -> None:
    w = four()
    old = {"d_in": D_IN, "d_sae": D_SAE, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    (tmp_path / "cfg.json").write_text(json.dumps(old | {"hook_name": "blocks.0", "normalize_activations": False}))
    save_file(w, tmp_path / "sae_weights.safetensors")
    f = top((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 3)
    assert_computes(imported("saelens", tmp_path), f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize(
    ("cfg", "says"),
    [
        ({"architecture": "batchtopk"}, "save_inference_model"),
        ({"normalize_activations": "expected_average_only_in"}, "fold"),
        ({"normalize_activations": "constant_norm_rescale"}, "constant_norm_rescale"),
        ({"activation_fn_str": "tanh-relu"}, "tanh-relu"),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor"),
    ],
)
def test_what_saelens_has_and_we_do_not(tmp_path: Path, cfg: dict[str, Any], says: str) -> None:
    with pytest.raises(formats.Unsupported, match=says):
        saelens(tmp_path, four(), **cfg)
