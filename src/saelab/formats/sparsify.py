"""sparsify: `cfg.json` and `sae.safetensors`, for its `SparseCoder.load_from_disk`."""

from __future__ import annotations

from pathlib import Path

from saelab.formats.files import load_json, load_tensors, save_json, save_tensors
from saelab.formats.plain import Plain, Unsupported

CFG, WEIGHTS = "cfg.json", "sae.safetensors"
LOAD = 'sparsify.SparseCoder.load_from_disk("{path}")'


def refusal(p: Plain) -> str | None:
    """Why the format cannot hold it; None if it can."""
    if p.kind != "topk":
        return f"it holds TopK codes only, not {p.kind}"
    if p.layer_norm:
        return "it has no normalisation of single rows (layer_norm)"
    if p.sizes[0] != p.sizes[2]:
        return f"its transcoders need d_in={p.sizes[0]} and d_out={p.sizes[2]} to be equal"
    return None


def write(p: Plain, path: Path, *, site: str | None = None) -> None:
    """Write a folder that `SparseCoder.load_from_disk` reads; W_dec is `[s, d]` there too."""
    d_in, d_sae, _ = p.sizes
    cfg = {
        "activation": "topk",
        "expansion_factor": max(1, round(d_sae / d_in)),
        "normalize_decoder": p.unit,
        "num_latents": d_sae,
        "k": p.k,
        "multi_topk": False,
        "skip_connection": p.W_skip is not None,
        "transcode": p.transcoder,
        "d_in": d_in,
        "written_by": "saelab",
    }
    if not p.transcoder:
        p = p.centred()
    tensors = {"encoder.weight": p.W_enc.T, "encoder.bias": p.b_enc, "W_dec": p.W_dec, "b_dec": p.b_dec}
    save_json(path / CFG, cfg)
    save_tensors(path / WEIGHTS, tensors | {"W_skip": None if p.W_skip is None else p.W_skip.T})


def read(path: Path) -> Plain:
    """Read a folder that sparsify wrote."""
    cfg, t = load_json(path / CFG), load_tensors(path / WEIGHTS)
    if cfg.get("activation", "topk") != "topk":
        raise Unsupported(f"{path / CFG}: activation {cfg['activation']!r} has no like here; only topk has.")
    if "W_dec" not in t:
        raise Unsupported(f"{path / WEIGHTS} has no W_dec: it was saved without its decoder.")
    p = Plain(
        kind="topk",
        W_enc=t["encoder.weight"].T,
        b_enc=t["encoder.bias"],
        W_dec=t["W_dec"],
        b_dec=t["b_dec"],
        k=cfg["k"],
        W_skip=t["W_skip"].T if "W_skip" in t else None,
        # Ours have skip connections only where they are transcoders; the function is the same.
        transcoder=bool(cfg.get("transcode") or "W_skip" in t),
    )
    return p if cfg.get("transcode") else p.uncentred()
