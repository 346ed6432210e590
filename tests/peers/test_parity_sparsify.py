"""Forward, losses and gradients beside sparsify."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import D_IN, D_SAE, ROWS, Table, data, gradients, library, randomised, step_and_losses
from torch import Tensor

from saelab.sae import SAE, TopK

library("sparsify")
from sparsify import SparseCoder, SparseCoderConfig  # noqa: E402

NAMES = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}


def like(ours: SAE, names: dict[str, str], **settings: Any) -> SparseCoder:
    """Theirs with our weights."""
    cfg = SparseCoderConfig(num_latents=ours.d_sae, transcode=ours.transcoder, **settings)
    theirs = SparseCoder(ours.d_in, cfg, dtype=torch.float64)
    with torch.no_grad():
        for mine, name in names.items():
            theirs.get_parameter(name).copy_(turned(name, getattr(ours, mine)))
    return theirs


def turned(name: str, value: Tensor) -> Tensor:
    """The encoder and the skip connection are transposed, the decoder is not."""
    return value.T if name in ("encoder.weight", "W_skip") else value


def parameters(sae: SAE, names: dict[str, str]) -> dict[str, Tensor]:
    return {name: getattr(sae, name) for name in names}


def their_gradients(loss: Tensor, theirs: SparseCoder, names: dict[str, str]) -> dict[str, Tensor]:
    found = gradients(loss, {mine: theirs.get_parameter(name) for mine, name in names.items()})
    return {mine: turned(names[mine], g) for mine, g in found.items()}


def dense(out: Any) -> Tensor:
    return torch.zeros(ROWS, D_SAE).double().scatter(1, out.latent_indices, out.latent_acts)


@pytest.mark.parametrize("kind", ["SAE", "transcoder", "skip transcoder"])
def test_topk(table: Table, kind: str) -> None:
    where = ("sparsify", f"SparseCoder, {kind}")
    skip, transcoder = kind == "skip transcoder", kind != "SAE"
    names = NAMES | ({"W_skip": "W_skip"} if skip else {})
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", d_out=D_IN if transcoder else None, skip=skip)
    randomised(ours)
    theirs = like(ours, names, k=5, skip_connection=skip)
    x = data()
    y = data(seed=6) if transcoder else x
    step, terms = step_and_losses(ours, x, y)
    out = theirs(x, y)
    variance = (y - y.mean(0)).square().sum().item()
    table.same(where, "codes", step.f, dense(out))
    table.same(where, "reconstruction", step.y_hat, out.sae_out)
    table.factor(
        where,
        "recon",
        terms["recon"],
        out.fvu,
        ROWS / variance,
        said="rows / total variance",
        note="theirs is FVU: the sum over the batch divided by its total variance",
    )
    mine = gradients(terms["recon"] * ROWS / variance, parameters(ours, names))
    table.gradients(where, mine, their_gradients(out.fvu, theirs, names))


def test_auxk(table: Table) -> None:
    where = ("sparsify", "SparseCoder, AuxK")
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", aux_k=D_IN // 2, aux_coef=1.0, dead_after=1)
    randomised(ours)
    ours.idle[::2] = 1
    theirs = like(ours, NAMES, k=5)
    x = data()
    _, terms = step_and_losses(ours, x)
    out = theirs(x, dead_mask=ours.dead)
    factor = ROWS / (x - x.mean(0)).square().sum().item()
    table.factor(where, "aux", terms["aux"], out.auxk_loss, factor, said="rows / total variance", note="as FVU")
    mine, other = (
        gradients(terms["aux"] * factor, parameters(ours, NAMES)),
        their_gradients(out.auxk_loss, theirs, NAMES),
    )
    table.same(where, "W_dec's gradient", mine["W_dec"], other["W_dec"])
    assert not other["W_enc"].any()
    assert not other["b_enc"].any()
    note = "theirs is zero: the fused encoder's backward ignores pre-activations, so AuxK cannot revive an encoder row"
    table.differs(where, "W_enc's and b_enc's gradient", mine["W_enc"], other["W_enc"], note=note)
