"""Between the SAEs of this project and plain numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saelab import sae as variants
from saelab.formats.plain import Plain, Unsupported
from saelab.sae.norm import Normalizer
from saelab.sae.threshold import Thresholded

RELU = (variants.ReLU, variants.PAnneal)
TOPK = {variants.TopK: "topk", variants.AbsTopK: "abs_topk"}


@torch.no_grad()
def fold(sae: variants.SAE) -> Plain:
    """An SAE with its normalisation folded into its weights, in eval mode's form.

    With `scale`, weights stay what they are and biases and thresholds are divided by the scale: codes are in the
    user's units too. With `whiten`, codes stay what they are.

    Raises: Unsupported for what is more than one linear encoder, an activation and one linear decoder.
    """
    if sae.likelihood.bernoulli:
        raise Unsupported("likelihood=bernoulli: no format turns what is decoded from logits into probabilities.")
    if sae.encoder_hidden:
        raise Unsupported(f"encoder_hidden={[*sae.encoder_hidden]}: no format has layers before the encoder.")
    activation = _activation(sae)
    W_dec, b_dec = sae.W_dec.double(), sae.b_dec.double()
    tied = activation["kind"] == "matching_pursuit"
    p = Plain(
        W_enc=W_dec.T if tied else sae.W_enc.double(),
        b_enc=b_dec.new_zeros(len(W_dec)) if tied else sae.b_enc.double(),
        W_dec=W_dec,
        b_dec=b_dec,
        W_skip=None if sae.W_skip is None else sae.W_skip.double(),
        layer_norm=sae.norm.kind == "layer_norm",
        transcoder=sae.transcoder,
        **activation,
    )
    if tied and sae.norm.kind == "whiten":
        raise Unsupported("normalize=whiten: the atoms that are pursued in whitened space are not those that decode.")
    return _in_users_units(p if sae.transcoder else p.uncentred(), sae.norm, sae.norm_out)


def _activation(sae: variants.SAE) -> dict[str, Any]:
    """The kind of activation that a variant has in evaluation, and its numbers."""
    kind = type(sae)
    if kind in RELU:
        return {"kind": "relu"}
    if kind in TOPK:
        return {"kind": TOPK[kind], "k": sae.k}
    if isinstance(sae, variants.Gated):
        return {"kind": "gated", "r_mag": sae.r_mag.double(), "b_mag": sae.b_mag.double()}
    if isinstance(sae, Thresholded):
        return {"kind": "jumprelu", "threshold": sae.threshold.double()}
    if isinstance(sae, variants.BatchTopK):
        return {"kind": "jumprelu", "k": sae.k, "threshold": sae.threshold.double().expand(sae.d_sae)}
    if isinstance(sae, variants.MatchingPursuit):
        for name, wrong in {"signed": sae.signed, "repeats": sae.repeats == "exclude"}.items():
            if wrong:
                raise Unsupported(f"{name}={getattr(sae, name)}: no format has this form of matching pursuit.")
        stop = sae.repeats == "stop"
        return {
            "kind": "matching_pursuit",
            "k": sae.k,
            "residual_threshold": sae.residual_threshold,
            "stop_on_repeat": stop,
        }
    raise Unsupported(f"no format holds the codes of {kind.__name__}.")


def _in_users_units(p: Plain, norm: Normalizer, out: Normalizer) -> Plain:
    """Weights of normalised rows as weights of the user's."""
    p = replace(
        p,
        W_enc=_reads(norm, p.W_enc),
        W_dec=_writes(out, p.W_dec),
        b_dec=_writes(out, p.b_dec) + _mean(out),
        W_skip=None if p.W_skip is None else _writes(out, _reads(norm, p.W_skip)),
    ).shifted(_mean(norm))
    if p.W_skip is not None:
        p = replace(p, b_dec=p.b_dec - _mean(norm) @ p.W_skip)
    unit = out.scale.double() if out.kind == "scale" else torch.ones(())
    p = p.scaled((1 / unit).expand(len(p.W_dec)))
    return replace(p, residual_threshold=p.residual_threshold / float(unit))


def _reads(norm: Normalizer, W: Float[Tensor, "i s"]) -> Float[Tensor, "i s"]:
    """Weights that are given normalised rows, as weights that are given (x − mean)."""
    if norm.kind == "scale":
        return W * norm.scale.double()
    return norm.to_white.double() @ W if norm.kind == "whiten" else W


def _writes(norm: Normalizer, W: Float[Tensor, "*s o"]) -> Float[Tensor, "*s o"]:
    """Weights that return normalised rows, as weights that return y − mean."""
    if norm.kind == "scale":
        return W / norm.scale.double()
    return W @ norm.from_white.double() if norm.kind == "whiten" else W


def _mean(norm: Normalizer) -> Float[Tensor, " d"]:
    return norm.mean.double() if norm.kind == "whiten" else torch.zeros(norm.d, dtype=torch.float64)


@torch.no_grad()
def rebuild(p: Plain) -> tuple[dict[str, Any], variants.SAE]:
    """The SAE of this project that computes the same, in eval mode, and the spec that it is built from.

    Its normalisation is `none`, or `layer_norm` where rows are; it can be trained further.
    """
    d_in, d_sae, d_out = p.sizes
    name, own, state = _variant(p if p.transcoder else p.centred())
    spec = {"d_in": d_in, "d_sae": d_sae, "normalize": "layer_norm" if p.layer_norm else "none", **own}
    spec["decoder"] = "unit" if p.unit else "free"
    if p.transcoder:
        spec |= {"d_out": d_out, "skip": p.W_skip is not None}
    sae: variants.SAE = getattr(variants, name)(**spec)
    before = sae.state_dict()
    state = {"W_dec": p.W_dec, "b_dec": p.b_dec} | state | ({} if p.W_skip is None else {"W_skip": p.W_skip})
    sae.load_state_dict(before | {key: value.to(before[key].dtype) for key, value in state.items()})
    return {"_target_": f"saelab.sae.{name}", **spec}, sae.eval()


def _variant(p: Plain) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The class, its own arguments, and its encoder's state."""
    encoder = {"W_enc": p.W_enc, "b_enc": p.b_enc}
    if p.kind == "matching_pursuit":
        if not p.unit:
            norms = p.row_norms
            raise Unsupported(f"its atoms have norms from {norms.min():.3g} to {norms.max():.3g}, ours have norm one.")
        own = {"k": p.k, "residual_threshold": p.residual_threshold, "repeats": "stop" if p.stop_on_repeat else "add"}
        return "MatchingPursuit", own, {}
    if p.r_mag is not None and p.b_mag is not None:
        return "Gated", {}, encoder | {"r_mag": p.r_mag, "b_mag": p.b_mag}
    if p.threshold is not None and p.k is not None:
        levels = {} if p.groups is None else {"levels": [*accumulate(p.groups)]}
        return "Matryoshka" if levels else "BatchTopK", {"k": p.k, **levels}, encoder | {"threshold": p.threshold[0]}
    if p.threshold is not None:
        return "JumpReLU", {"target_l0": min(32, len(p.threshold))}, encoder | {"threshold": p.threshold}
    return {"relu": "ReLU", "topk": "TopK", "abs_topk": "AbsTopK"}[p.kind], {} if p.k is None else {"k": p.k}, encoder
