"""sparsify's files as its documentation has them, made by hand, against its formulas written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from files import D_IN, X, assert_computes, imported, top, weights
from safetensors.torch import save_file
from torch import Tensor

from saelab import formats, sae


def sparsify(path: Path, tensors: dict[str, Tensor], **cfg: Any) -> sae.SAE:
    standard = {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": 0,
        "k": 4,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D_IN,
    }
    (path / "cfg.json").write_text(json.dumps(standard | cfg))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path / "sae.safetensors")
    return imported("sparsify", path)


@pytest.mark.parametrize("transcode", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_sparsify(tmp_path: Path, transcode: bool, skip: bool) -> None:
    w = weights()
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    W_skip = torch.randn(D_IN, D_IN)
    made = sparsify(tmp_path, tensors | ({"W_skip": W_skip} if skip else {}), transcode=transcode, skip_connection=skip)
    assert type(made) is sae.TopK
    f = top((X if transcode else X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 4)
    assert_computes(made, f @ w["W_dec"] + w["b_dec"] + (X @ W_skip.T if skip else 0))


def test_sparsify_groupmax_and_a_missing_decoder_are_refused(tmp_path: Path) -> None:
    w = weights()
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "b_dec": w["b_dec"]}
    with pytest.raises(formats.Unsupported, match="groupmax"):
        sparsify(tmp_path, tensors, activation="groupmax")
    with pytest.raises(formats.Unsupported, match="without its decoder"):
        sparsify(tmp_path, tensors)
