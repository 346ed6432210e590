"""Forward, losses and gradients beside dictionary_learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import D_IN, D_SAE, Table, data, gradients, library, randomised, step_and_losses, total
from torch import Tensor

from saelab.sae import SAE, BatchTopK, Gated, JumpReLU, Matryoshka, PAnneal, ReLU, TopK
from saelab.sae.batchtopk import lowest

library("dictionary_learning")
from dictionary_learning import trainers  # noqa: E402

LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight", "b_dec": "b_dec"}
STEPS = {"steps": 100, "layer": 0, "lm_name": "none", "device": "cpu", "warmup_steps": 1}
ALL_DEAD = 10_000_000


def like(ours: SAE, trainer: type, names: dict[str, str], **settings: Any) -> Any:
    """Their trainer, its dictionary with our weights; `names` are theirs for ours, and linear layers are transposed."""
    theirs = trainer(activation_dim=ours.d_in, dict_size=ours.d_sae, **STEPS, **settings)
    theirs.ae.double()
    with torch.no_grad():
        for mine, name in names.items():
            value = getattr(ours, mine)
            theirs.ae.get_parameter(name).copy_(value.T if name.endswith(".weight") else value)
    return theirs


def parameters(sae: SAE, names: dict[str, str]) -> dict[str, Tensor]:
    return {name: getattr(sae, name) for name in names}


def their_gradients(loss: Tensor, theirs: Any, names: dict[str, str]) -> dict[str, Tensor]:
    found = gradients(loss, {mine: theirs.ae.get_parameter(name) for mine, name in names.items()})
    return {mine: g.T if names[mine].endswith(".weight") else g for mine, g in found.items()}


def exact(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


def put_to_death(ours: SAE) -> SAE:
    """Every second latent is dead, and rightly: it never fires, though it is often above zero."""
    ours.idle[::2] = 1
    with torch.no_grad():
        ours.W_enc[:, ::2] *= 0.1
        ours.b_enc[::2] *= 0.1
    return ours


@pytest.mark.parametrize("decoder", ["unit", "free"])
def test_relu(table: Table, decoder: Any) -> None:
    trainer = trainers.standard.StandardTrainer if decoder == "unit" else trainers.standard.StandardTrainerAprilUpdate
    where = ("dictionary-learning", trainer.__name__)
    names = LINEAR | {"b_dec": "bias"}
    ours = randomised(ReLU(d_in=D_IN, d_sae=D_SAE, l1=0.7, normalize="none", decoder=decoder))
    theirs = like(ours, trainer, names, l1_penalty=0.7, sparsity_warmup_steps=None)
    x = data()
    step, terms = step_and_losses(ours, x)
    log = theirs.loss(x, step=0, logging=True)
    table.same(where, "codes", step.f, log.f)
    table.same(where, "reconstruction", step.y_hat, log.x_hat)
    table.same(where, "recon", terms["recon"], exact(log.losses["mse_loss"]))
    note = "plain codes" if decoder == "unit" else "weighted by decoder norms"
    table.same(where, "sparsity", terms["sparsity"], 0.7 * exact(log.losses["sparsity_loss"]), note=note)
    mine = gradients(total(terms), parameters(ours, names))
    table.gradients(where, mine, their_gradients(theirs.loss(x, step=0), theirs, names))


def test_topk(table: Table) -> None:
    where = ("dictionary-learning", "TopKTrainer + AuxK")
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=3, normalize="none", aux_k=D_IN // 2, aux_coef=1 / 32, dead_after=1)
    put_to_death(randomised(ours))
    theirs = like(ours, trainers.top_k.TopKTrainer, LINEAR, k=3)
    x = data()
    step, terms = step_and_losses(ours, x)
    theirs.num_tokens_since_fired[::2] = ALL_DEAD
    log = theirs.loss(x, step=0, logging=True)
    table.same(where, "codes", step.f, log.f)
    table.same(where, "recon", terms["recon"], exact(log.losses["l2_loss"]))
    compare_auxk(table, where, ours, theirs, step, terms, log)


def compare_auxk(table: Table, where: tuple[str, str], ours: SAE, theirs: Any, step: Any, terms: Any, log: Any) -> None:
    """Their AuxK is ours divided by the variance of the residual, and then equal, gradients too."""
    assert not step.f[:, ours.dead].any()
    residual = (step.y - step.y_hat).detach()
    variance = (residual - residual.mean(0)).square().sum(1).mean().item()
    aux = log.losses["auxk_loss"]
    table.factor(
        where,
        "aux",
        terms["aux"] * 32,
        exact(aux),
        1 / variance,
        said="1 / Var(residual)",
        note="divided by the residual's variance over the batch; weight 1/32 both",
    )
    theirs.num_tokens_since_fired[::2] = ALL_DEAD
    loss = theirs.loss(step.x, step=0)
    mine = gradients(terms["recon"] + terms["aux"] / variance, parameters(ours, LINEAR))
    table.gradients(where, mine, their_gradients(loss, theirs, LINEAR))


def test_batchtopk_in_training(table: Table) -> None:
    where = ("dictionary-learning", "BatchTopKTrainer + AuxK")
    ours = BatchTopK(d_in=D_IN, d_sae=D_SAE, k=4, normalize="none", aux_k=D_IN // 2, aux_coef=1 / 32, dead_after=1)
    put_to_death(randomised(ours))
    theirs = like(ours, trainers.batch_top_k.BatchTopKTrainer, LINEAR, k=4, threshold_start_step=0)
    x = data()
    step, terms = step_and_losses(ours, x)
    theirs.num_tokens_since_fired[::2] = ALL_DEAD
    log = theirs.loss(x, step=1, logging=True)
    table.same(where, "codes", step.f, log.f)
    table.same(where, "the batch's threshold", lowest(step.f), theirs.ae.threshold, note="what the EMA sees")
    compare_auxk(table, where, ours, theirs, step, terms, log)


def test_batchtopk_in_evaluation(table: Table) -> None:
    where = ("dictionary-learning", "BatchTopKSAE in evaluation")
    ours = randomised(BatchTopK(d_in=D_IN, d_sae=D_SAE, k=4, normalize="none")).eval()
    theirs = like(ours, trainers.batch_top_k.BatchTopKTrainer, LINEAR, k=4).ae
    ours.threshold.fill_(0.5)
    theirs.threshold.fill_(0.5)
    x = data()
    x_hat, f = theirs(x, output_features=True)
    table.same(where, "codes", ours.encode(x), f, note="above one threshold, strictly")
    table.same(where, "reconstruction", ours(x), x_hat)


PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}


def test_jumprelu(table: Table) -> None:
    where = ("dictionary-learning", "JumpReluTrainer")
    bandwidth, target = 0.1, 6.0
    ours = JumpReLU(d_in=D_IN, d_sae=D_SAE, normalize="none", bandwidth=bandwidth, l0=1 / D_IN, target_l0=target)
    randomised(ours)
    with torch.no_grad():
        ours.b_dec.zero_()  # theirs does not subtract it, ours does: equal where it is zero
        assert ours.threshold.min() > bandwidth / 2
    settings = {"bandwidth": bandwidth, "target_l0": target, "sparsity_warmup_steps": None}
    theirs = like(ours, trainers.jumprelu.JumpReluTrainer, PLAIN, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    log = theirs.loss(x, step=0, logging=True)
    table.same(where, "codes", step.f, log.f, note="b_dec = 0: theirs does not subtract it")
    table.same(where, "recon", terms["recon"], exact(log.losses["l2_loss"]))
    sparsity = exact(log.losses["loss"] - log.losses["l2_loss"])
    table.factor(
        where,
        "sparsity",
        terms["sparsity"].double() * D_IN,
        sparsity,
        1 / D_IN,
        said="1 / d",
        note="(L0 / L* - 1)², ours times d, as reconstruction is a sum over d",
    )
    names = {name: name for name in ("W_enc", "b_enc", "W_dec")}
    loss = theirs.loss(x, step=0)
    table.gradients(where, gradients(total(terms), parameters(ours, names)), their_gradients(loss, theirs, names))
    mine = gradients(total(terms), parameters(ours, PLAIN))["b_dec"]
    other = their_gradients(loss, theirs, PLAIN)["b_dec"]
    through_encoder = -gradients(total(terms), {"b_enc": ours.b_enc})["b_enc"] @ ours.W_enc.T
    torch.testing.assert_close(mine - through_encoder, other)
    table.differs(
        where, "b_dec's gradient", mine, other, note="ours has a part through the encoder too, which accounts for it"
    )
    halved(table, where, ours, step, terms, loss, theirs)


def halved(
    table: Table, where: tuple[str, str], ours: JumpReLU, step: Any, terms: Any, loss: Tensor, theirs: Any
) -> None:
    """Their step is taken of the codes, which are 0 or above the threshold: half of the rectangle stays empty."""
    whole = gradients(terms["sparsity"], {"threshold": ours.threshold})["threshold"].double()
    recon = gradients(terms["recon"], {"threshold": ours.threshold})["threshold"].double()
    other = their_gradients(loss, theirs, {"threshold": "threshold"})["threshold"] - recon
    near = (step.pre - ours.threshold).abs() < ours.bandwidth / 2
    both, above = near.sum(0), (near & (step.f != 0)).sum(0)
    torch.testing.assert_close(other * both, whole * above, rtol=1e-5, atol=1e-5)
    note = f"from {int(above.sum())} of the {int(both.sum())} pre-activations in ours: those above it (their issue 55)"
    table.differs(where, "threshold's gradient from sparsity", whole, other, note=note)


def test_gated(table: Table) -> None:
    where = ("dictionary-learning", "GatedSAETrainer")
    names = LINEAR | {"b_enc": "gate_bias", "b_dec": "decoder_bias", "r_mag": "r_mag", "b_mag": "mag_bias"}
    ours = randomised(Gated(d_in=D_IN, d_sae=D_SAE, l1=0.7, normalize="none", decoder="unit"))
    theirs = like(ours, trainers.gdm.GatedSAETrainer, names, l1_penalty=0.7, sparsity_warmup_steps=None)
    x = data()
    step, terms = step_and_losses(ours, x)
    log = theirs.loss(x, step=0, logging=True)
    table.same(where, "codes", step.f, log.f)
    table.same(where, "recon", terms["recon"], exact(log.losses["mse_loss"]))
    table.same(where, "sparsity", terms["sparsity"], 0.7 * exact(log.losses["sparsity_loss"]), note="plain gates")
    table.same(where, "gate", terms["gate"], exact(log.losses["aux_loss"]), note="the decoder detached in both")
    loss = theirs.loss(x, step=0)
    table.gradients(where, gradients(total(terms), parameters(ours, names)), their_gradients(loss, theirs, names))


def annealed(**settings: Any) -> tuple[PAnneal, Any, dict[str, str]]:
    names = LINEAR | {"b_dec": "bias"}
    ours = PAnneal(d_in=D_IN, d_sae=D_SAE, l1=0.7, normalize="none", decoder="unit", **settings)
    randomised(ours)
    common = {"initial_sparsity_penalty": 0.7, "sparsity_function": "Lp^p", "sparsity_warmup_steps": None}
    return ours, like(ours, trainers.p_anneal.PAnnealTrainer, names, anneal_start=3, **common), names


def test_p_anneal(table: Table) -> None:
    where = ("dictionary-learning", "PAnnealTrainer, Lp^p")
    ours, theirs, names = annealed(p_end=0.5, updates=1)
    x = data()
    step, terms = step_and_losses(ours, x)
    table.same(where, "loss at p = 1", total(terms), theirs.loss(x, step=0))
    loss = theirs.loss(x, step=0)
    table.gradients(where, gradients(total(terms), parameters(ours, names)), their_gradients(loss, theirs, names))
    ours.done.fill_(1)
    theirs.p = 0.5
    step, terms = step_and_losses(ours, x)
    loss, plain = theirs.loss(x, step=0), 0.7 * step.f.sqrt().sum(1).mean()
    table.same(
        where, "sparsity at p = 0.5", plain, loss - terms["recon"], note="with f^p for our (f + 0.001)^p - 0.001^p"
    )
    note = "ours bends into a line below f = 0.001, where the slope of f^p has no bound"
    table.differs(where, "sparsity at p = 0.5", terms["sparsity"], loss - terms["recon"], note=note)


def test_p_anneal_keeps_the_penalty_as_large_as_it_was(table: Table) -> None:
    where = ("dictionary-learning", "PAnnealTrainer, Lp^p")
    ours, theirs, _ = annealed(p_end=0.5, updates=1, anneal_start=0.0, anneal_end=0.1)
    theirs.next_p = 0.5
    codes = []
    for i in range(4):
        x = data(seed=i)
        step = ours.step(x)
        ours.track_(step)
        codes.append(step.f)
        theirs.loss(x, step=i)  # step 3 is their first update
    ours.anneal_(0.5)
    f, theirs_weight = torch.cat(codes), exact(theirs.sparsity_coeff)
    quantity, note = "weight after p went from 1 to 0.5", "the ratio of the penalties under both p, over recent batches"
    table.same(where, quantity, 0.7 * f.sum() / f.sqrt().sum(), theirs_weight, note=f"{note}; with f^p for ours")
    table.differs(where, quantity, 0.7 * ours.scale.double(), theirs_weight, note="our bend below f = 0.001, as above")


def test_matryoshka(table: Table) -> None:
    where = ("dictionary-learning", "MatryoshkaBatchTopKTrainer")
    names = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    settings = {"normalize": "none", "aux_k": D_IN // 2, "aux_coef": 1 / 32, "dead_after": 1}
    ours = Matryoshka(d_in=D_IN, d_sae=D_SAE, k=4, levels=[5, 15, D_SAE], level_weights="mean", **settings)
    put_to_death(randomised(ours))
    trainer = trainers.matryoshka_batch_top_k.MatryoshkaBatchTopKTrainer
    theirs = like(ours, trainer, names, k=4, group_fractions=[0.125, 0.25, 0.625])
    x = data()
    step, terms = step_and_losses(ours, x)
    theirs.num_tokens_since_fired[::2] = ALL_DEAD
    log = theirs.loss(x, step=0, logging=True)
    table.same(where, "codes", step.f, log.f)
    note = "weights 1/n by default, and then a mean over the n levels; so AuxK is n times as strong beside it"
    table.factor(
        where, "recon, all levels", terms["recon"], exact(log.losses["l2_loss"]), 1 / 3, said="1 / n", note=note
    )
    residual = (step.y - step.y_hat).detach()
    variance = (residual - residual.mean(0)).square().sum(1).mean().item()
    theirs.num_tokens_since_fired[::2] = ALL_DEAD
    mine = gradients(terms["recon"] / 3 + terms["aux"] / variance, parameters(ours, names))
    table.gradients(where, mine, their_gradients(theirs.loss(x, step=0), theirs, names))
