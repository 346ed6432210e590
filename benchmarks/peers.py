"""One training step of other libraries, as their own trainers take it, for `steps.py`.

Each is the library's own code: its forward pass and loss, backward, clipping and projection where its trainer does
these, its optimiser, and its count of what has fired. Logging and schedules are left out. `make test-peers` makes the
environment with all four.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

os.environ["SPARSIFY_DISABLE_TRITON"] = str(int(not torch.cuda.is_available()))
Step = Callable[[Tensor], Any]
LR, LEVELS, L1 = 1e-5, (1 / 8, 1 / 4, 1 / 2, 1.0), 1.0


def peers(variant: str, d: int, n: int, k: int) -> dict[str, Callable[[], Step]]:
    """What makes the step of each library that is installed and has this variant."""
    libraries = (sae_lens, dictionary_learning, overcomplete, sparsify)
    found = {}
    for library in libraries:
        if find_spec(library.__name__) is None:
            continue
        made = library(variant.removesuffix("_dense"), d, n, k)
        if made is not None:
            found[library.__name__.replace("_", "-")] = made
    if "sae-lens" in found and torch.get_default_device().type == "cuda":
        made = sae_lens(variant.removesuffix("_dense"), d, n, k, compiled=True)
        assert made is not None
        found["sae-lens, compiled"] = made
    return found


def sae_lens(variant: str, d: int, n: int, k: int, *, compiled: bool = False) -> Callable[[], Step] | None:
    import sae_lens as lens
    from sae_lens.saes.sae import TrainStepInput

    common = {"d_in": d, "d_sae": n}
    widths = [round(level * n) for level in LEVELS]
    made: dict[str, Callable[[], Any]] = {
        "topk": lambda: lens.TopKTrainingSAE(lens.TopKTrainingSAEConfig(**common, k=k)),
        "batchtopk": lambda: lens.BatchTopKTrainingSAE(lens.BatchTopKTrainingSAEConfig(**common, k=k)),
        "jumprelu": lambda: lens.JumpReLUTrainingSAE(lens.JumpReLUTrainingSAEConfig(**common)),
        "matryoshka": lambda: lens.MatryoshkaBatchTopKTrainingSAE(
            lens.MatryoshkaBatchTopKTrainingSAEConfig(**common, k=k, matryoshka_widths=widths)
        ),
        "relu": lambda: lens.StandardTrainingSAE(lens.StandardTrainingSAEConfig(**common)),
    }
    if variant not in made:
        return None

    def make() -> Step:
        sae = made[variant]()
        forward = torch.compile(sae.training_forward_pass) if compiled else sae.training_forward_pass
        optimizer = torch.optim.Adam(sae.parameters(), lr=LR)
        idle, fired = torch.zeros(n), torch.zeros(n)

        def step(x: Tensor) -> None:
            sae.train()
            out = forward(
                TrainStepInput(
                    sae_in=x,
                    dead_neuron_mask=idle > 1e9,
                    coefficients={"l1": L1, "l0": L1},
                    n_training_steps=0,
                    is_logging_step=False,
                )
            )
            with torch.no_grad():
                firing = out.feature_acts.bool().float()
                did_fire = firing.sum(-2).bool()
                did_fire = did_fire.to_dense() if did_fire.is_sparse else did_fire
                idle.add_(1)
                idle[did_fire] = 0
                fired.add_(firing.sum(0))
            out.loss.backward()
            nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return step

    return make


def dictionary_learning(variant: str, d: int, n: int, k: int) -> Callable[[], Step] | None:
    from dictionary_learning import trainers
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    settings = {"steps": 10**9, "activation_dim": d, "dict_size": n, "layer": 0, "lm_name": "none"}
    settings |= {"lr": LR, "warmup_steps": 1, "device": str(torch.get_default_device())}
    groups = [b - a for a, b in zip((0.0, *LEVELS[:-1]), LEVELS, strict=True)]
    made: dict[str, Callable[[], Any]] = {
        "topk": lambda: trainers.top_k.TopKTrainer(**settings, k=k),
        "batchtopk": lambda: trainers.batch_top_k.BatchTopKTrainer(**settings, k=k),
        "jumprelu": lambda: trainers.jumprelu.JumpReluTrainer(**settings, target_l0=k),
        "matryoshka": lambda: MatryoshkaBatchTopKTrainer(**settings, k=k, group_fractions=groups),
        "relu": lambda: trainers.standard.StandardTrainerAprilUpdate(**settings, l1_penalty=L1),
    }
    if variant not in made:
        return None

    def make() -> Step:
        trainer, count = made[variant](), iter(range(1, 10**9))
        return lambda x: trainer.update(next(count), x)

    return make


def overcomplete(variant: str, d: int, n: int, k: int) -> Callable[[], Step] | None:
    # its image models and plots come with its SAEs; nothing of them is used
    sys.modules.setdefault("torchvision", mock.MagicMock())
    sys.modules.setdefault("overcomplete.visualization", mock.MagicMock())
    from overcomplete import sae as their

    made: dict[str, Callable[[int], Any]] = {
        "topk": lambda b: their.TopKSAE(d, n, top_k=k),
        "batchtopk": lambda b: their.BatchTopKSAE(d, n, top_k=k * b),
        "jumprelu": lambda b: their.JumpSAE(d, n),
        "relu": lambda b: their.SAE(d, n),
    }
    if variant not in made:
        return None

    def make() -> Step:
        built: list[Any] = []

        def step(x: Tensor) -> None:
            if not built:
                built.append(made[variant](len(x)).train())
                built.append(torch.optim.Adam(built[0].parameters(), lr=LR))
            sae, optimizer = built
            optimizer.zero_grad()
            _, codes, x_hat = sae(x)
            loss = (x - x_hat).square().mean()
            if variant in ("relu", "jumprelu"):
                loss = loss + 1e-4 * codes.abs().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
            optimizer.step()

        return step

    return make


def sparsify(variant: str, d: int, n: int, k: int) -> Callable[[], Step] | None:
    if variant != "topk":
        return None
    from sparsify import SparseCoder, SparseCoderConfig

    def make() -> Step:
        sae = SparseCoder(d, SparseCoderConfig(num_latents=n, k=k))
        optimizer = torch.optim.Adam(sae.parameters(), lr=LR)
        idle = torch.zeros(n, dtype=torch.long)

        def step(x: Tensor) -> None:
            sae.set_decoder_norm_to_unit_norm()
            out = sae(x)
            did_fire = torch.zeros(n, dtype=torch.bool)
            did_fire[out.latent_indices.flatten()] = True
            idle.add_(len(x))
            idle[did_fire] = 0
            out.fvu.backward()
            sae.remove_gradient_parallel_to_decoder_directions()
            optimizer.step()
            optimizer.zero_grad()

        return step

    return make
