"""Which path a step takes: dense products, or sparse ones at the places that codes use."""

from __future__ import annotations

import statistics
import time
import warnings
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.kernels import products_chosen

if TYPE_CHECKING:
    from saelab.sae.base import SAE

# The share of the places up to which sparse products are faster than dense ones, as measured on a CPU: less where the
# decoder's rows are short, or all of them together outgrow the caches; and less where oneDNN makes the dense ones.
SPARSE_BELOW, SPARSE_BELOW_HARD = 0.22, 0.09
CHOSEN_BELOW, CHOSEN_BELOW_HARD = 0.11, 0.06
SHORT_ROW, LARGE_DECODER = 256, 2**22  # entries
MEASURE_EVERY, MEASURED_ROWS = 50, 256  # dense steps on a CPU from one look at the density to the next, at some rows
FIRST_TRIAL, TRIALS_APART = 20, 20  # on a GPU: after 20 steps, 400, 8,000, ...
ROUNDS = 5
DIFFERENCE = 1e-2  # of the two paths' gradients, relative: what TF32 and a tie at a boundary make, and no fault does


def sparse_on_cpu(density: float, d_out: int, d_sae: int) -> bool:
    """Whether a CPU makes sparse products of so few places faster than dense ones."""
    hard = d_out < SHORT_ROW or d_out * d_sae > LARGE_DECODER
    return (
        density < ((CHOSEN_BELOW, CHOSEN_BELOW_HARD) if products_chosen() else (SPARSE_BELOW, SPARSE_BELOW_HARD))[hard]
    )


class Trial:
    """Where nothing is known beforehand, on a GPU: both paths are tried on a batch of the run, and the faster is taken.

    First after 20 training steps, when codes have become few, then 20 times as late each time; in between no step waits
    for the device. A trial is a dozen steps whose gradients are thrown away: neither weights, nor state, nor random
    numbers see it. If the sparse path fails there, or its gradients differ from the dense path's by more than one per
    cent, it is told in a warning, and steps stay dense.
    """

    def __init__(self) -> None:
        self.steps, self.due, self.sparse = 0, FIRST_TRIAL, False

    def __call__(self, sae: SAE, x: Float[Tensor, "b i"], target: Float[Tensor, "b o"]) -> bool:
        """The path of this step, of normalised rows."""
        if sae.training and torch.is_grad_enabled():
            self.steps += 1
            if self.steps >= self.due:
                self.due *= TRIALS_APART
                self.sparse = sparse_is_faster(sae, x, target)
        return self.sparse


def sparse_is_faster(sae: SAE, x: Float[Tensor, "b i"], target: Float[Tensor, "b o"]) -> bool:
    """Whether a step on the sparse path gives the dense path's gradients in less time, on this device.

    Medians of five rounds in turn, after one that compares the gradients.
    """
    try:
        dense, sparse = gradients(sae, x, target, sparse=False), gradients(sae, x, target, sparse=True)
        difference = float((sparse - dense).norm() / dense.norm().clamp_min(torch.finfo(dense.dtype).tiny))
        trouble = f"differs by {difference:.1%}" if not difference <= DIFFERENCE else ""
    except (RuntimeError, NotImplementedError) as error:
        trouble = f"failed: {error}"
    if trouble:
        warnings.warn(
            f"On {x.device} the sparse path of {type(sae).__name__} {trouble}. Steps stay dense.", stacklevel=2
        )
        return False
    took: dict[bool, list[float]] = {False: [], True: []}
    for path in [False, True] * ROUNDS:
        start = now(x.device)
        gradients(sae, x, target, sparse=path)
        took[path].append(now(x.device) - start)
    return statistics.median(took[True]) < statistics.median(took[False])


def gradients(sae: SAE, x: Float[Tensor, "b i"], target: Float[Tensor, "b o"], *, sparse: bool) -> Float[Tensor, " p"]:
    """The loss and its gradients of all parameters, one after the other; random numbers are left as they were."""
    with torch.random.fork_rng(devices=[] if x.device.type == "cpu" else [x.device], device_type=x.device.type):
        loss = torch.stack(list(sae.losses(sae.step_on(x, target, sparse=sparse)).values())).sum()
    trained = [p for p in sae.parameters() if p.requires_grad]
    each = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
    return torch.cat([loss.detach().view(1), *(g.reshape(-1) for g in each)])


def now(device: torch.device) -> float:
    """Seconds, when all that the device was given is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
