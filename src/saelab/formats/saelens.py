"""SAELens: `cfg.json` and `sae_weights.safetensors`, for its `SAE.load_from_disk`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from saelab.formats.files import load_json, load_tensors, save_json, save_tensors
from saelab.formats.plain import Plain, Unsupported

CFG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
LOAD = 'sae_lens.SAE.load_from_disk("{path}")'
ARCHITECTURES = {
    "relu": "standard",
    "topk": "topk",
    "abs_topk": "abstopk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "matching_pursuit": "matching_pursuit",
}
TRANSCODERS = {"relu": "transcoder", "jumprelu": "jumprelu_transcoder"}
SKIPS = {"relu": "skip_transcoder", "jumprelu": "jumprelu_skip_transcoder"}


def refusal(p: Plain) -> str | None:
    """Why the format cannot hold it; None if it can."""
    if p.transcoder and p.kind not in TRANSCODERS:
        return f"its transcoders are ReLU or JumpReLU, not {p.kind}"
    if p.layer_norm and p.sizes[0] < 2:
        return "its layer_norm divides by n - 1, and rows have one entry"
    return None


def write(p: Plain, path: Path, *, site: str | None = None) -> None:
    """Write a folder that `SAE.load_from_disk` reads."""
    d_in, d_sae, d_out = p.sizes
    if p.layer_norm:
        p = p.in_units(_layer_norm_unit(d_in))
    cfg: dict[str, Any] = {
        "architecture": _architecture(p),
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": not p.transcoder,
        "normalize_activations": "layer_norm" if p.layer_norm else "none",
        "reshape_activations": "none",
        # The first version with this layout; without one it is read as what came before.
        "metadata": {"sae_lens_version": "6.0.0", "hook_name": site, "written_by": "saelab"},
    }
    if p.transcoder:
        cfg["d_out"] = d_out
    else:
        p = p.centred()
    tensors = {"W_dec": p.W_dec, "b_dec": p.b_dec}
    if p.kind == "matching_pursuit":
        cfg |= {"max_iterations": p.k, "residual_threshold": p.residual_threshold}
        cfg["stop_on_duplicate_support"] = p.stop_on_repeat
    elif p.kind == "gated":
        tensors |= {"W_enc": p.W_enc, "b_gate": p.b_enc, "b_mag": p.b_mag, "r_mag": p.r_mag}
    else:
        tensors |= {"W_enc": p.W_enc, "b_enc": p.b_enc}
    if p.kind in ("topk", "abs_topk"):
        cfg |= {"k": p.k, "rescale_acts_by_decoder_norm": False}
    if p.threshold is not None:
        tensors["threshold"] = p.threshold
    if p.W_skip is not None:
        tensors["W_skip"] = p.W_skip.T
    save_json(path / CFG, cfg)
    save_tensors(path / WEIGHTS, tensors)


def read(path: Path) -> Plain:
    """Read a folder that SAELens wrote."""
    cfg, t = _modern(load_json(path / CFG)), load_tensors(path / WEIGHTS)
    kind, transcoder, skip = _kind(cfg)
    zeros = torch.zeros(len(t["W_dec"]), dtype=torch.float64)
    if kind == "matching_pursuit" and not cfg["apply_b_dec_to_input"]:
        t["b_dec"] = torch.zeros_like(t["b_dec"])  # it is not added to the output either
    p = Plain(
        kind=kind,
        W_enc=t["W_dec"].T if kind == "matching_pursuit" else t["W_enc"],
        b_enc=t.get("b_gate", t.get("b_enc", zeros)),
        W_dec=t["W_dec"],
        b_dec=t["b_dec"],
        k=cfg.get("max_iterations") or cfg["d_in"] if kind == "matching_pursuit" else cfg.get("k"),
        threshold=t.get("threshold", t["log_threshold"].exp() if "log_threshold" in t else None),
        r_mag=t.get("r_mag"),
        b_mag=t.get("b_mag"),
        W_skip=t["W_skip"].T if skip else None,
        layer_norm=cfg["normalize_activations"] == "layer_norm",
        transcoder=transcoder,
        residual_threshold=cfg.get("residual_threshold", 0.01) if kind == "matching_pursuit" else 0.0,
        stop_on_repeat=bool(cfg.get("stop_on_duplicate_support", True)) if kind == "matching_pursuit" else False,
    )
    if cfg.get("rescale_acts_by_decoder_norm"):
        p = p.scaled(p.row_norms)
    if cfg["apply_b_dec_to_input"]:
        p = p.uncentred()
    return p.in_units(1 / _layer_norm_unit(cfg["d_in"])) if p.layer_norm else p


def _layer_norm_unit(d: int) -> float:
    """How much longer our rows are: SAELens divides by a standard deviation over n − 1 (plus 1e-5)."""
    return math.sqrt(d / (d - 1))


def _architecture(p: Plain) -> str:
    if not p.transcoder:
        return ARCHITECTURES[p.kind]
    return (TRANSCODERS if p.W_skip is None else SKIPS)[p.kind]


def _kind(cfg: dict[str, Any]) -> tuple[Any, bool, bool]:
    """The kind of activation, whether it is a transcoder, whether it has a skip connection."""
    for names, transcoder, skip in ((ARCHITECTURES, False, False), (TRANSCODERS, True, False), (SKIPS, True, True)):
        for kind, name in names.items():
            if name == cfg["architecture"]:
                return kind, transcoder, skip
    raise Unsupported(
        f"architecture '{cfg['architecture']}' is not one that inference uses "
        f"({', '.join([*ARCHITECTURES.values(), *TRANSCODERS.values(), *SKIPS.values()])}). "
        "A training checkpoint becomes one by SAELens' save_inference_model."
    )


def _modern(cfg: dict[str, Any]) -> dict[str, Any]:
    """A cfg of any version as version 6 spells it."""
    activation = cfg.get("activation_fn_str", cfg.get("activation_fn", "relu"))
    if activation not in ("relu", "topk"):
        raise Unsupported(f"activation_fn '{activation}' is not relu or topk.")
    old: dict[str, Any] = {"architecture": "standard", "apply_b_dec_to_input": True, "normalize_activations": "none"}
    if activation == "topk":
        old |= {"architecture": "topk", "k": (cfg.get("activation_fn_kwargs") or {}).get("k")}
        cfg = {key: value for key, value in cfg.items() if key != "architecture"}
    new = old | {key: value for key, value in cfg.items() if value is not None}
    if new["normalize_activations"] is False:
        new["normalize_activations"] = "none"
    if new["normalize_activations"] not in ("none", "layer_norm"):
        raise Unsupported(
            f"normalize_activations '{new['normalize_activations']}' has a scale that is not in the files: fold it in "
            "SAELens (fold_activation_norm_scaling_factor), save again, then import."
        )
    if new.get("finetuning_scaling_factor"):
        raise Unsupported("finetuning_scaling_factor is set: load with SAELens 5, fold the factor, save again.")
    return new
