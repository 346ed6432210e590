"""Forward, losses and gradients beside SAELens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import D_IN, D_SAE, Table, data, gradients, library, randomised, step_and_losses, total
from torch import Tensor

from saelab.sae import SAE, AbsTopK, BatchTopK, Gated, JumpReLU, MatchingPursuit, Matryoshka, ReLU, TopK
from saelab.sae.batchtopk import lowest

library("sae_lens")
from sae_lens.saes.sae import TrainStepInput  # noqa: E402

NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")
THEIRS = {("GatedTrainingSAE", "b_enc"): "b_gate"}


def like(ours: SAE, training: type, config: type, names: tuple[str, ...] = NAMES, **settings: Any) -> Any:
    """Their training SAE with our weights."""
    cfg = config(d_in=ours.d_in, d_sae=ours.d_sae, dtype="float64", **settings)
    theirs = training(cfg)
    with torch.no_grad():
        for name in names:
            getattr(theirs, THEIRS.get((training.__name__, name), name)).copy_(getattr(ours, name))
    return theirs.train()


def pass_(theirs: Any, x: Tensor, dead: Tensor | None = None, **coefficients: float) -> Any:
    step_input = TrainStepInput(
        sae_in=x, coefficients=coefficients, dead_neuron_mask=dead, n_training_steps=0, is_logging_step=False
    )
    return theirs.training_forward_pass(step_input)


def parameters(sae: Any, names: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
    return {name: getattr(sae, THEIRS.get((type(sae).__name__, name), name)) for name in names}


def test_relu(table: Table) -> None:
    from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig

    where = ("sae-lens", "standard (ReLU + L1)")
    ours = randomised(ReLU(d_in=D_IN, d_sae=D_SAE, l1=0.7, normalize="none", decoder="free"))
    theirs = like(ours, StandardTrainingSAE, StandardTrainingSAEConfig)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, l1=0.7)
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "reconstruction", step.y_hat, out.sae_out)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    table.same(where, "sparsity", terms["sparsity"], out.losses["l1_loss"], note="weighted by decoder norms")
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))


def test_topk(table: Table) -> None:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig

    where = ("sae-lens", "topk + aux")
    k_aux = D_IN // 2
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", aux_k=k_aux, aux_coef=0.3, dead_after=1)
    randomised(ours, positive=True)  # so that no pre-activation is negative: see the next test
    ours.idle[::3] = 1
    settings = {"k": 5, "aux_loss_coefficient": 0.3, "rescale_acts_by_decoder_norm": False}
    theirs = like(ours, TopKTrainingSAE, TopKTrainingSAEConfig, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    assert (step.pre[:, ours.dead] > 0).sum(1).min() >= k_aux
    out = pass_(theirs, x, ours.dead)
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "reconstruction", step.y_hat, out.sae_out)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    aux = out.losses["auxiliary_reconstruction_loss"]
    table.same(where, "aux", terms["aux"], aux, note="where dead pre-activations are positive; k_aux = d/2")
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))


def test_topk_aux_of_negative_pre_activations(table: Table) -> None:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig

    where = ("sae-lens", "topk + aux")
    ours = TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", aux_k=D_IN // 2, aux_coef=0.3, dead_after=1)
    randomised(ours)
    ours.idle[:8] = 1
    settings = {"k": 5, "aux_loss_coefficient": 0.3, "rescale_acts_by_decoder_norm": False}
    theirs = like(ours, TopKTrainingSAE, TopKTrainingSAEConfig, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    aux = pass_(theirs, x, ours.dead).losses["auxiliary_reconstruction_loss"]
    values, which = step.pre[:, :8].topk(D_IN // 2)
    unclipped = torch.zeros_like(step.pre[:, :8]).scatter(1, which, values) @ ours.W_dec[:8]
    expected = 0.3 * ((step.x - step.y_hat) - unclipped).square().sum(1).mean()
    torch.testing.assert_close(aux, expected)
    note = "theirs has no ReLU on the dead latents' codes, as a test with none reproduces; ours has (Gao et al. 2024)"
    table.differs(where, "aux with negative pre-activations", terms["aux"], aux, note=note)


def test_topk_rescaled_by_decoder_norms(table: Table) -> None:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig

    where = ("sae-lens", "topk, rescale_acts_by_decoder_norm")
    ours = randomised(TopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none"))
    theirs = like(ours, TopKTrainingSAE, TopKTrainingSAEConfig, k=5, rescale_acts_by_decoder_norm=True)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x)
    table.same(where, "codes", step.f, out.feature_acts, note="with rows of norm one, as ours are held at")
    table.same(where, "reconstruction", step.y_hat, out.sae_out)
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))


def test_batchtopk_in_training(table: Table) -> None:
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    where = ("sae-lens", "batchtopk in training")
    ours = BatchTopK(d_in=D_IN, d_sae=D_SAE, k=4.5, normalize="none", aux_k=D_IN // 2, aux_coef=0.3, dead_after=1)
    randomised(ours, positive=True)
    ours.idle[::3] = 1
    settings = {"k": 4.5, "aux_loss_coefficient": 0.3, "rescale_acts_by_decoder_norm": False, "topk_threshold_lr": 1.0}
    theirs = like(ours, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, ours.dead)
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    table.same(where, "aux", terms["aux"], out.losses["auxiliary_reconstruction_loss"])
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))
    table.same(where, "the batch's threshold", lowest(step.f).double(), theirs.topk_threshold, note="what the EMA sees")


def test_matching_pursuit(table: Table) -> None:
    from sae_lens import MatchingPursuitTrainingSAE, MatchingPursuitTrainingSAEConfig

    where = ("sae-lens", "matching_pursuit")
    ours = randomised(MatchingPursuit(d_in=D_IN, d_sae=D_SAE, k=6, normalize="none"))
    settings = {"max_iterations": 6, "residual_threshold": 0.0, "stop_on_duplicate_support": False}
    config = MatchingPursuitTrainingSAEConfig
    theirs = like(ours, MatchingPursuitTrainingSAE, config, ("W_dec", "b_dec"), decoder_init_norm=1.0, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x)
    table.same(where, "codes", step.f, out.feature_acts, note="fixed k steps, repeats add up")
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    names = ("W_dec", "b_dec")
    mine, other = gradients(total(terms), parameters(ours, names)), gradients(out.loss, parameters(theirs, names))
    table.gradients(where, mine, other)


JUMP = (*NAMES, "threshold")


def jumprelu(settings: dict[str, Any], **theirs: Any) -> tuple[JumpReLU, Any]:
    from sae_lens import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig

    common = {"d_in": D_IN, "d_sae": D_SAE, "normalize": "none", "decoder": "free", "bandwidth": 0.4, "dead_after": 1}
    ours = JumpReLU(**common, **settings)
    randomised(ours)
    ours.idle[::3] = 1
    config = JumpReLUTrainingSAEConfig
    return ours, like(ours, JumpReLUTrainingSAE, config, JUMP, jumprelu_bandwidth=0.4, **theirs)


@pytest.mark.parametrize("to_input", [False, True])
@pytest.mark.parametrize("mode", ["step", "tanh"])
def test_jumprelu(table: Table, mode: Any, to_input: bool) -> None:
    where = ("sae-lens", f"jumprelu, {mode}" + (", ste_to_input" if to_input else ""))
    ours, theirs = jumprelu(
        {"sparsity": mode, "l0": 0.3, "pre_act": 0.02, "ste_to_input": to_input},
        jumprelu_sparsity_loss_mode=mode,
        pre_act_loss_coefficient=0.02,
        jumprelu_ste_to_input=to_input,
    )
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, ours.dead, l0=0.3)
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    table.same(where, "sparsity", terms["sparsity"], out.losses["l0_loss"])
    table.same(where, "pre_act", terms["pre_act"], out.losses["pre_act_loss"])
    table.gradients(
        where, gradients(total(terms), parameters(ours, JUMP)), gradients(out.loss, parameters(theirs, JUMP))
    )


def test_jumprelu_quadratic(table: Table) -> None:
    where = ("sae-lens", "jumprelu, quadratic")
    ours, theirs = jumprelu(
        {"sparsity": "target", "l0": 1.0, "target_l0": 4.0}, jumprelu_sparsity_loss_mode="quadratic", target_l0=4.0
    )
    x = data()
    step, terms = step_and_losses(ours, x[:1])
    one = pass_(theirs, x[:1], l0=1.0)
    note = "(2 / L*)(L0 - L*)² of each row, ours d (L0 / L* - 1)² of the batch's mean L0"
    factor = 2 * 4.0 / D_IN
    table.factor(
        where,
        "sparsity of one row",
        terms["sparsity"].double(),
        one.losses["l0_loss"],
        factor,
        said="2 L* / d",
        note=note,
    )
    loss = terms["recon"] + factor * terms["sparsity"]
    table.gradients(where, gradients(loss, parameters(ours, JUMP)), gradients(one.loss, parameters(theirs, JUMP)))
    step, terms = step_and_losses(ours, x)
    l0 = (step.f != 0).sum(1).double()
    extra = 2 / 4.0 * l0.var(unbiased=False)
    table.same(
        where,
        "sparsity of a batch",
        factor * terms["sparsity"].double() + extra,
        pass_(theirs, x, l0=1.0).losses["l0_loss"],
        note="theirs also holds (2 / L*) Var(L0 over rows), added to ours here",
    )


def test_gated(table: Table) -> None:
    from sae_lens import GatedTrainingSAE, GatedTrainingSAEConfig

    where, names = ("sae-lens", "gated"), (*NAMES, "r_mag", "b_mag")
    ours = randomised(Gated(d_in=D_IN, d_sae=D_SAE, l1=0.7, normalize="none", decoder="free"))
    theirs = like(ours, GatedTrainingSAE, GatedTrainingSAEConfig, names)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, l1=0.7)
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    table.same(where, "sparsity", terms["sparsity"], out.losses["l1_loss"], note="weighted by decoder norms")
    table.same(where, "gate", terms["gate"], out.losses["auxiliary_reconstruction_loss"])
    mine, other = gradients(total(terms), parameters(ours, names)), gradients(out.loss, parameters(theirs, names))
    gate = step.pre.relu().detach()
    theirs_alone = (x - (gate @ ours.W_dec + ours.b_dec)).square().sum(1) + 0.7 * gate @ ours.W_dec.norm(dim=1)
    taught = gradients(theirs_alone.mean(), parameters(ours, ("W_dec", "b_dec")))
    for name, extra in taught.items():
        torch.testing.assert_close(mine[name] + extra, other[name])
        note = "their gate term and penalty teach the decoder too, which accounts for it; in ours it is detached there"
        table.differs(where, f"{name}'s gradient", mine.pop(name), other.pop(name), note=note)
    table.gradients(where, mine, other)


def test_abs_topk(table: Table) -> None:
    from sae_lens import AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig

    where = ("sae-lens", "abstopk + aux")
    ours = randomised(
        AbsTopK(d_in=D_IN, d_sae=D_SAE, k=5, normalize="none", aux_k=D_IN // 2, aux_coef=0.3, dead_after=1)
    )
    ours.idle[::3] = 1
    settings = {"k": 5, "aux_loss_coefficient": 0.3, "rescale_acts_by_decoder_norm": False}
    theirs = like(ours, AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, ours.dead)
    assert (step.f < 0).any()
    table.same(where, "codes", step.f, out.feature_acts)
    table.same(where, "recon", terms["recon"], out.losses["mse_loss"])
    aux = out.losses["auxiliary_reconstruction_loss"]
    table.same(where, "aux", terms["aux"], aux, note="by magnitude, with signs")
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))


def test_matryoshka(table: Table) -> None:
    from sae_lens import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig

    where, levels = ("sae-lens", "matryoshka_batchtopk"), [5, 15, D_SAE]
    settings = {"normalize": "none", "aux_k": D_IN // 2, "aux_coef": 0.3, "dead_after": 1}
    ours = Matryoshka(d_in=D_IN, d_sae=D_SAE, k=4, levels=levels, level_weights="sum", **settings)
    randomised(ours, positive=True)
    ours.idle[::3] = 1
    settings = {"k": 4, "aux_loss_coefficient": 0.3, "rescale_acts_by_decoder_norm": False, "matryoshka_widths": levels}
    theirs = like(ours, MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, **settings)
    x = data()
    step, terms = step_and_losses(ours, x)
    out = pass_(theirs, x, ours.dead)
    table.same(where, "codes", step.f, out.feature_acts)
    theirs_recon = sum((v for name, v in out.losses.items() if "mse_loss" in name), torch.zeros(()))
    table.same(where, "recon, all levels", terms["recon"], theirs_recon, note="level_weights=sum")
    table.same(where, "aux", terms["aux"], out.losses["auxiliary_reconstruction_loss"], note="of the whole dictionary")
    table.gradients(where, gradients(total(terms), parameters(ours)), gradients(out.loss, parameters(theirs)))
