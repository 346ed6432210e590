"""dictionary_learning: `ae.pt` and `config.json`, for its `load_dictionary`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saelab.formats.files import load_json, load_tensors, save_json, save_tensors
from saelab.formats.plain import Plain, Unsupported

CFG, WEIGHTS = "config.json", "ae.pt"
LOAD = 'dictionary_learning.utils.load_dictionary("{path}", device="cpu")'
CLASSES = {
    "relu": "AutoEncoder",
    "gated": "GatedAutoEncoder",
    "topk": "AutoEncoderTopK",
    "jumprelu": "JumpReluAutoEncoder",
}


def refusal(p: Plain) -> str | None:
    """Why the format cannot hold it; None if it can."""
    if p.kind not in CLASSES:
        return f"it has no {p.kind}"
    if p.layer_norm:
        return "it has no normalisation of single rows (layer_norm)"
    if p.W_skip is not None:
        return "it has no skip connection"
    if p.sizes[0] != p.sizes[2]:
        return f"its dictionaries reconstruct their input: d_in={p.sizes[0]} and d_out={p.sizes[2]} must be equal"
    return None


def write(p: Plain, path: Path, *, site: str | None = None) -> None:
    """Write a folder that `load_dictionary` reads. A ReLU's rows get norm one, as loading would give them."""
    d_in, d_sae, _ = p.sizes
    trainer: dict[str, Any] = {"dict_class": CLASSES[p.kind], "activation_dim": d_in, "dict_size": d_sae}
    trainer |= {"trainer_class": None, "submodule_name": site, "written_by": "saelab"}
    tensors: dict[str, Tensor | None]
    if p.kind == "jumprelu":
        tensors = {"W_enc": p.W_enc, "b_enc": p.b_enc, "W_dec": p.W_dec, "b_dec": p.b_dec, "threshold": p.threshold}
    else:
        p = (p.unit_rows() if p.kind == "relu" else p).centred()
        tensors = {"encoder.weight": p.W_enc.T, "decoder.weight": p.W_dec.T}
        if p.kind == "gated":
            tensors |= {"decoder_bias": p.b_dec, "gate_bias": p.b_enc, "mag_bias": p.b_mag, "r_mag": p.r_mag}
        elif p.kind == "relu":
            tensors |= {"bias": p.b_dec, "encoder.bias": p.b_enc}
        else:
            trainer["k"] = p.k
            k, unset = torch.tensor(p.k, dtype=torch.int32), torch.tensor(-1.0)
            tensors |= {"b_dec": p.b_dec, "encoder.bias": p.b_enc, "k": k, "threshold": unset}
    save_json(path / CFG, {"trainer": trainer, "buffer": {}})
    save_tensors(path / WEIGHTS, tensors)


def read(path: Path) -> Plain:
    """Read a folder that dictionary_learning wrote."""
    trainer, t = load_json(path / CFG).get("trainer", {}), load_tensors(path / WEIGHTS)
    name = trainer.get("dict_class")
    readers = {
        "AutoEncoder": lambda: _linear(t, "relu", t["bias"]),
        "AutoEncoderNew": lambda: _linear(t, "relu", t["decoder.bias"], centred=False),
        "GatedAutoEncoder": lambda: _linear(t, "gated", t["decoder_bias"]),
        "AutoEncoderTopK": lambda: _linear(t, "topk", t["b_dec"]),
        "BatchTopKSAE": lambda: _linear(t, "jumprelu", t["b_dec"]),
        "MatryoshkaBatchTopKSAE": lambda: _parameters(t),
        "JumpReluAutoEncoder": lambda: _parameters(t, centred=False),
    }
    if name not in readers:
        raise Unsupported(f"{path / CFG}: trainer.dict_class is {name!r}, none of {', '.join(readers)}.")
    return readers[name]()


def _linear(t: dict[str, Tensor], kind: Any, b_dec: Tensor, *, centred: bool = True) -> Plain:
    """Classes that hold `nn.Linear`s, whose weights are transposed."""
    p = Plain(
        kind=kind,
        W_enc=t["encoder.weight"].T,
        b_enc=t["gate_bias"] if kind == "gated" else t["encoder.bias"],
        W_dec=t["decoder.weight"].T,
        b_dec=b_dec,
        k=int(t["k"]) if "k" in t else None,
        threshold=_threshold(t, len(t["encoder.weight"])) if kind == "jumprelu" else None,
        r_mag=t.get("r_mag"),
        b_mag=t.get("mag_bias"),
    )
    return p.uncentred() if centred else p


def _parameters(t: dict[str, Tensor], *, centred: bool = True) -> Plain:
    """Classes that hold plain matrices."""
    p = Plain(
        kind="jumprelu",
        W_enc=t["W_enc"],
        b_enc=t["b_enc"],
        W_dec=t["W_dec"],
        b_dec=t["b_dec"],
        k=int(t["k"]) if "k" in t else None,
        threshold=_threshold(t, len(t["W_dec"])),
        groups=tuple(t["group_sizes"].tolist()) if "group_sizes" in t else None,
    )
    return p.uncentred() if centred else p


def _threshold(t: dict[str, Tensor], d_sae: int) -> Tensor:
    """One number for all latents, or one each; -1 is how a threshold that was never set is written: a plain ReLU."""
    return t["threshold"].clamp_min(0).expand(d_sae)
