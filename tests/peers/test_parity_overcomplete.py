"""Forward, losses and gradients beside overcomplete, which has no decoder bias: ours is zero here."""

from __future__ import annotations

from typing import Any

import torch
from parity import D_IN, D_SAE, ROWS, Table, data, gradients, library, randomised, step_and_losses, total
from torch import Tensor

from saelab.sae import SAE, BatchTopK, JumpReLU, MatchingPursuit, ReLU, TopK
from saelab.sae.batchtopk import lowest

library("overcomplete")
import overcomplete.sae as theirs_  # noqa: E402
from overcomplete.sae import losses as their_losses  # noqa: E402

NAMES = {"W_enc": "encoder.final_block.0.weight", "b_enc": "encoder.final_block.0.bias", "W_dec": "dictionary._weights"}


def ours_of(variant: type[SAE], **settings: Any) -> SAE:
    """Ours with a unit decoder and b_dec = 0, which is what theirs has."""
    ours = randomised(variant(d_in=D_IN, d_sae=D_SAE, normalize="none", decoder="unit", **settings))
    with torch.no_grad():
        ours.b_dec.zero_()
    return ours


def like(ours: SAE, variant: type, names: dict[str, str] = NAMES, **settings: Any) -> Any:
    theirs = variant(D_IN, D_SAE, **settings).double()
    with torch.no_grad():
        for mine, name in names.items():
            value = getattr(ours, mine)
            theirs.get_parameter(name).copy_(value.T if mine == "W_enc" else value)
    return theirs.train()


def parameters(sae: SAE, names: dict[str, str] = NAMES) -> dict[str, Tensor]:
    return {name: getattr(sae, name) for name in names}


def their_gradients(loss: Tensor, theirs: Any, names: dict[str, str] = NAMES) -> dict[str, Tensor]:
    found = gradients(loss, {mine: theirs.get_parameter(name) for mine, name in names.items()})
    return {mine: g.T if mine == "W_enc" else g for mine, g in found.items()}


def test_relu(table: Table) -> None:
    where = ("overcomplete", "SAE + mse_l1")
    ours = ours_of(ReLU, l1=0.7)
    theirs = like(ours, theirs_.SAE)
    x = data()
    step, terms = step_and_losses(ours, x)
    pre, codes, x_hat = theirs(x)
    table.same(where, "codes", step.f, codes)
    table.same(where, "reconstruction", step.y_hat, x_hat)
    arguments = (x, x_hat, pre, codes, theirs.get_dictionary())
    mse = their_losses.mse_l1(*arguments, penalty=0.0)
    table.factor(
        where, "recon", terms["recon"], mse, 1 / D_IN, said="1 / d", note="a mean over entries, ours a sum over d"
    )
    l1 = their_losses.mse_l1(*arguments, penalty=0.7) - mse
    note = "a sum over rows and latents, ours a mean over rows"
    table.factor(where, "sparsity", terms["sparsity"], l1, ROWS, said="rows", note=note)
    mine = gradients(terms["recon"] / D_IN + terms["sparsity"] * ROWS, parameters(ours))
    table.gradients(where, mine, their_gradients(mse + l1, theirs))


def test_topk(table: Table) -> None:
    where = ("overcomplete", "TopKSAE")
    ours = ours_of(TopK, k=5)
    theirs = like(ours, theirs_.TopKSAE, top_k=5)
    x = data()
    step, terms = step_and_losses(ours, x)
    _, codes, x_hat = theirs(x)
    table.same(where, "codes", step.f, codes)
    loss = (x - x_hat).square().mean()
    table.gradients(where, gradients(total(terms) / D_IN, parameters(ours)), their_gradients(loss, theirs))


def test_batchtopk(table: Table) -> None:
    where = ("overcomplete", "BatchTopKSAE")
    ours = ours_of(BatchTopK, k=4)
    theirs = like(ours, theirs_.BatchTopKSAE, top_k=4 * ROWS)
    x = data()
    step, terms = step_and_losses(ours, x)
    _, codes, x_hat = theirs(x)
    table.same(where, "codes in training", step.f, codes, note="their top_k counts the whole batch: k · rows")
    loss = (x - x_hat).square().mean()
    table.gradients(where, gradients(total(terms) / D_IN, parameters(ours)), their_gradients(loss, theirs))
    batch = lowest(step.f).double()
    table.same(where, "the batch's threshold", batch, theirs.running_threshold, note="float32 here, as a controller is")
    ours.threshold.copy_(theirs.running_threshold.float().nextafter(torch.tensor(-torch.inf)))
    note = "theirs keeps codes at the threshold (>=), ours those above it: the next smaller number"
    table.same(where, "codes in evaluation", ours.eval().encode(x), theirs.eval()(x)[1], note=note)


def test_matching_pursuit(table: Table) -> None:
    where = ("overcomplete", "MpSAE")
    ours, names = ours_of(MatchingPursuit, k=6), {"W_dec": NAMES["W_dec"]}
    theirs = like(ours, theirs_.MpSAE, names, k=6)
    x = data()
    step, terms = step_and_losses(ours, x)
    residual, codes, x_hat = theirs(x)
    table.same(where, "codes", step.f, codes, note="theirs has no ReLU, which changes nothing here")
    table.same(where, "residual", step.x - step.y_hat, residual)
    loss = (x - x_hat).square().mean()
    table.gradients(
        where, gradients(total(terms) / D_IN, parameters(ours, names)), their_gradients(loss, theirs, names)
    )


def test_reanimation(table: Table) -> None:
    where = ("overcomplete", "reanimation_regularizer")
    ours = ours_of(TopK, k=1, reanimate=0.1, dead_after=1)
    theirs = like(ours, theirs_.TopKSAE, top_k=1)
    x = data()[:16]
    step, _ = step_and_losses(ours, x)
    silent = ~(step.f > 0).any(0)
    assert silent.any()
    ours.idle[silent] = 1
    term = ours.losses(step)["reanimate"]
    pre, codes, x_hat = theirs(x)
    reg = their_losses.reanimation_regularizer(x, x_hat, pre, codes, theirs.get_dictionary(), penalty=0.1)
    note = "a sum over rows, a mean over the dead; dead is what is silent in this batch, ours over many"
    table.factor(where, "reanimate", term, reg, 16 / int(silent.sum()), said="rows / dead", note=note)


def test_jumprelu(table: Table) -> None:
    where = ("overcomplete", "JumpSAE, rectangle")
    bandwidth = 0.1
    ours = ours_of(JumpReLU, bandwidth=bandwidth, l0=0.0)
    assert ours.threshold.min() > bandwidth / 2
    theirs = like(ours, theirs_.JumpSAE, kernel="rectangle", bandwidth=bandwidth)
    with torch.no_grad():
        theirs.thresholds.copy_(ours.threshold.double().log())
    x = data()
    step, terms = step_and_losses(ours, x)
    _, codes, x_hat = theirs(x)
    table.same(where, "codes", step.f, codes)
    loss = (x - x_hat).square().mean()
    table.gradients(where, gradients(total(terms) / D_IN, parameters(ours)), their_gradients(loss, theirs))
    mine = gradients(terms["recon"] / D_IN, {"threshold": ours.threshold})["threshold"].double() * ours.threshold
    other = gradients(loss, {"thresholds": theirs.thresholds})["thresholds"]
    table.factor(
        where,
        "threshold's gradient",
        mine,
        other,
        1 / bandwidth,
        said="1 / ε",
        note="their kernel is divided by the bandwidth, and the gradient once more; of log θ, so ours is times θ",
    )


def test_archetypal_dictionary(table: Table) -> None:
    where = ("overcomplete", "RATopKSAE")
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", decoder="archetypal", points=30, delta=0.3)
    ours.init_from_(data(n=500).float())
    with torch.no_grad():
        ours.archetypes.shift.normal_()
    ours.project_()
    ours.double()
    theirs = theirs_.RATopKSAE(D_IN, D_SAE, points=ours.archetypes.C.clone(), delta=0.3, top_k=5).double()
    with torch.no_grad():
        theirs.dictionary.W.copy_(ours.archetypes.A)
        theirs.dictionary.Relax.copy_(ours.archetypes.shift)
    D = theirs.train().get_dictionary()
    note = "ours are brought to norm one; theirs keep their length, times a learned factor"
    table.same(where, "directions of the atoms", ours.W_dec, torch.nn.functional.normalize(D, dim=1), note=note)
