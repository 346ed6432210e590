"""dictionary_learning's files as its documentation has them, made by hand, against its formulas written out here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from files import X, assert_computes, imported, top, weights
from torch import Tensor

from saelab import formats, sae


def dictionary_learning(path: Path, tensors: dict[str, Tensor], name: str) -> sae.SAE:
    (path / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, "k": 4}, "buffer": {"ctx_len": 128}}))
    torch.save(tensors, path / "ae.pt")
    return imported("dictionary_learning", path)


def test_dictionary_learning_autoencoder(tmp_path: Path) -> None:
    w = weights()
    tensors = {"bias": w["b_dec"], "encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"]}
    made = dictionary_learning(tmp_path, tensors | {"decoder.weight": w["W_dec"].T}, "AutoEncoder")
    f = ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


def test_dictionary_learning_autoencoder_new_subtracts_nothing(tmp_path: Path) -> None:
    w = weights()
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T}
    made = dictionary_learning(tmp_path, tensors | {"decoder.bias": w["b_dec"]}, "AutoEncoderNew")
    assert_computes(made, (X @ w["W_enc"] + w["b_enc"]).relu() @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize(
    ("name", "threshold"), [("AutoEncoderTopK", -1.0), ("BatchTopKSAE", 0.7), ("BatchTopKSAE", -1.0)]
)
def test_dictionary_learning_topk_and_batchtopk(tmp_path: Path, name: str, threshold: float) -> None:
    w = weights()
    tensors = {
        "b_dec": w["b_dec"],
        "k": torch.tensor(4, dtype=torch.int32),
        "threshold": torch.tensor(threshold),
        "encoder.weight": w["W_enc"].T,
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T,
    }
    made = dictionary_learning(tmp_path, tensors, name)
    pre = ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    f = top(pre, 4) if name == "AutoEncoderTopK" else pre * (pre > threshold)
    assert type(made) is (sae.TopK if name == "AutoEncoderTopK" else sae.BatchTopK)
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


def test_dictionary_learning_gated(tmp_path: Path) -> None:
    w = weights()
    tensors = {"decoder_bias": w["b_dec"], "encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T}
    tensors |= {"gate_bias": w["b_enc"], "mag_bias": w["threshold"], "r_mag": w["b_enc"].flip(0) / 2}
    made = dictionary_learning(tmp_path, tensors, "GatedAutoEncoder")
    h = (X - w["b_dec"]) @ w["W_enc"]
    f = (h + w["b_enc"] > 0) * (tensors["r_mag"].exp() * h + w["threshold"]).relu()
    assert_computes(made, f @ w["W_dec"] + w["b_dec"])


def test_dictionary_learning_matryoshka(tmp_path: Path) -> None:
    w = weights()
    tensors = {name: w[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    tensors |= {"k": torch.tensor(4, dtype=torch.int32), "threshold": torch.tensor(0.7)}
    made = dictionary_learning(tmp_path, tensors | {"group_sizes": torch.tensor([2, 4, 10])}, "MatryoshkaBatchTopKSAE")
    assert isinstance(made, sae.Matryoshka)
    assert made.prefixes.fixed == [2, 6, 16]
    f = ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    assert_computes(made, f * (f > 0.7) @ w["W_dec"] + w["b_dec"])


def test_dictionary_learning_jumprelu_subtracts_nothing(tmp_path: Path) -> None:
    w = weights()
    made = dictionary_learning(tmp_path, w, "JumpReluAutoEncoder")
    assert type(made) is sae.JumpReLU
    pre = X @ w["W_enc"] + w["b_enc"]
    assert_computes(made, (pre * (pre > w["threshold"])).relu() @ w["W_dec"] + w["b_dec"])


def test_dictionary_learning_says_which_classes_there_are(tmp_path: Path) -> None:
    with pytest.raises(formats.Unsupported, match="'IdentityDict', none of AutoEncoder"):
        dictionary_learning(tmp_path, {}, "IdentityDict")
