"""overcomplete: a state dict, and beside it the class and the arguments that it is for.

overcomplete pickles whole modules; a folder of ours holds `state_dict.pt` and `overcomplete.json`, with

    class, args: the module is `getattr(overcomplete.sae, class)(**args)`; load the state dict, then call `.eval()`.
    centre: its dictionaries have no bias, so it is given x − centre, and centre is added to what it returns.
    running_threshold: of a BatchTopKSAE, whose state dict lacks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saelab.formats.files import load_json, load_tensors, save_json, save_tensors
from saelab.formats.plain import Plain, Unsupported

CFG, WEIGHTS = "overcomplete.json", "state_dict.pt"
LOAD = "{path}/overcomplete.json: its class with its args; x - centre goes in, centre is added to what comes out"
CLASSES = {"relu": "SAE", "topk": "TopKSAE", "jumprelu": "JumpSAE", "matching_pursuit": "MpSAE"}
WEIGHT, BIAS = "encoder.final_block.0.weight", "encoder.final_block.0.bias"


def refusal(p: Plain) -> str | None:
    """Why the format cannot hold it; None if it can."""
    if p.kind not in CLASSES:
        return f"it has no {p.kind}"
    if p.layer_norm:
        return "it has no normalisation of single rows (layer_norm)"
    if p.transcoder:
        return "it has no transcoders"
    if p.kind == "matching_pursuit" and (p.residual_threshold or p.stop_on_repeat):
        return "its matching pursuit always takes k steps"
    return None


def write(p: Plain, path: Path, *, site: str | None = None) -> None:
    """Write the state dict and what to build for it."""
    d_in, d_sae, _ = p.sizes
    p = p.unit_rows().centred()
    args: dict[str, Any] = {"input_shape": d_in, "nb_concepts": d_sae}
    tensors: dict[str, Tensor | None] = {"dictionary._weights": p.W_dec, "dictionary.multiplier": torch.zeros(())}
    if p.kind == "matching_pursuit":
        args["k"] = p.k
    else:
        tensors |= {WEIGHT: p.W_enc.T, BIAS: p.b_enc}
    if p.kind == "topk":
        args["top_k"] = p.k
    if p.threshold is not None:
        tensors["thresholds"] = p.threshold.clamp_min(0).log()
    if not p.unit:
        args["dictionary_params"] = {"normalization": "identity"}
    cfg = {"class": CLASSES[p.kind], "args": args, "centre": p.b_dec.tolist() if p.b_dec.any() else None, "site": site}
    save_json(path / CFG, cfg)
    save_tensors(path / WEIGHTS, tensors)


def read(path: Path) -> Plain:
    """Read a folder of a state dict and its description."""
    if not (path / CFG).exists():
        raise Unsupported(
            f"{path} has no {CFG}: overcomplete's files do not say what they hold. Save model.state_dict() as "
            f'{WEIGHTS} and write {CFG} beside it, e.g. {{"class": "TopKSAE", "args": {{"top_k": 8}}}}.'
        )
    cfg, t = load_json(path / CFG), load_tensors(path / WEIGHTS)
    name, args = cfg["class"], cfg.get("args", {})
    D = _dictionary(t, args)
    centre = torch.zeros(D.shape[1]) if cfg.get("centre") is None else torch.tensor(cfg["centre"])
    activations: dict[str, dict[str, Any]] = {
        "SAE": {"kind": "relu"},
        "TopKSAE": {"kind": "topk", "k": args.get("top_k") or max(len(D) // 10, 1)},
        "JumpSAE": {"kind": "jumprelu", "threshold": _below(t["thresholds"].exp()) if "thresholds" in t else None},
        "BatchTopKSAE": {"kind": "jumprelu", "threshold": _running(cfg, len(D))},
        "MpSAE": {"kind": "matching_pursuit", "k": args.get("k", 1)},
    }
    activations |= {"RATopKSAE": activations["TopKSAE"], "RAJumpSAE": activations["JumpSAE"]}
    if name not in activations:
        raise Unsupported(f"{path / CFG}: class {name!r} is none of {', '.join(activations)}.")
    tied = name == "MpSAE"
    if not tied and {key for key in t if key.startswith("encoder.")} != {WEIGHT, BIAS}:
        raise Unsupported(f"{path / WEIGHTS}: only the linear encoder ({WEIGHT}, {BIAS}) can be imported.")
    W_enc, b_enc = (D.T, torch.zeros(len(D)).double()) if tied else (t[WEIGHT].T, t[BIAS])
    return Plain(W_enc=W_enc, b_enc=b_enc, W_dec=D, b_dec=centre.double(), **activations[name]).uncentred()


def _dictionary(t: dict[str, Tensor], args: dict[str, Any]) -> Tensor:
    """What a DictionaryLayer, or an archetypal one, multiplies codes by."""
    size = t["dictionary.multiplier"].exp()
    if "dictionary.Relax" in t:
        mix, relax = t["dictionary.W"].relu(), t["dictionary.Relax"]
        mix = mix / (mix.sum(1, keepdim=True) + 1e-8)
        delta = args.get("delta", 1.0)
        relax = relax * (delta / relax.norm(dim=1, keepdim=True)).clamp_max(1)  # x / 0 is inf, which is clamped
        return (mix @ t["dictionary.C"] + relax) * size
    rows = t["dictionary._weights"]
    how = (args.get("dictionary_params") or {}).get("normalization", "l2")
    norms = rows.norm(p=1 if how.endswith("l1") else 2, dim=1, keepdim=True)
    divisor = {"identity": 1, "l2": norms + 1e-8, "l1": norms + 1e-8, "max_l2": norms.amax(), "max_l1": norms.amax()}
    if how not in divisor:
        raise Unsupported(f"dictionary_params.normalization {how!r} is none of {', '.join(divisor)}.")
    return rows / divisor[how] * size


def _below(threshold: Tensor) -> Tensor:
    """overcomplete keeps codes at the threshold (>=), we those above it (>): the next smaller float32."""
    return threshold.float().nextafter(torch.tensor(-torch.inf)).clamp_min(0).double()


def _running(cfg: dict[str, Any], d_sae: int) -> Tensor | None:
    if cfg["class"] != "BatchTopKSAE":
        return None
    if "running_threshold" not in cfg:
        raise Unsupported(f"{CFG} needs running_threshold, model.running_threshold: a BatchTopKSAE's files lack it.")
    return _below(torch.tensor(cfg["running_threshold"])).expand(d_sae)
