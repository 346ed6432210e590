"""What a safe step is worth: DenSaE beside the same model with the fixed step of the code it comes from.

    python benchmarks/densae.py [--seeds 3]

The fixed model unrolls z <- z + α (x − z A − s B) Aᵀ, s <- ReLU(s + α (x − z A − s B) Bᵀ − θ) from zero, α = 0.25, and
is trained for ‖x − x̂‖² / d + 10⁻³ mean |s|. Where that converges it is to a minimum of

    F(z, s) = ½ ‖x − z A − s B‖² + (θ / α) ‖s‖₁,

which is what DenSaE minimises with l1 = θ / α and steps of 1/L. Both learn on standardised rows of `data=toy_crowded`,
2,000 steps of 1,024 rows. Then, on test rows: errors, and F after each iteration with the dictionaries of the fixed
model, by its own step and by ours.

Writes `benchmarks/results/densae.json` and `docs/densae.png`. Takes some ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# a script's own folder comes first on the path, and a file of it is called like a variant
sys.path[:1] = [str(ROOT / "src")]

import torch  # noqa: E402
from hydra.utils import instantiate  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from saelab.config.compose import compose  # noqa: E402
from saelab.plots.lines import note  # noqa: E402
from saelab.plots.style import BLUE, ORANGE, names_above, new, save, styled  # noqa: E402
from saelab.sae import DenSaE  # noqa: E402
from saelab.sae.elastic import Elastic, Form  # noqa: E402
from saelab.sae.likelihood import Likelihood  # noqa: E402
from saelab.sae.proximal import largest_eigenvalue  # noqa: E402

STEP, N_DENSE, N_SPARSE = 0.25, 3, 100
STEPS, BATCH, RATE = 2000, 1024, 3e-3
CASES = ((10, 0.05), (10, 0.1), (15, 0.05), (15, 0.1))  # iterations, θ
SHOWN, LAST = (15, 0.05), 30  # the case that is drawn, and how many iterations of it


class Fixed(nn.Module):
    """The model with the fixed step."""

    def __init__(self, d: int, iterations: int, threshold: float) -> None:
        super().__init__()
        self.A, self.B = nn.Parameter(torch.randn(N_DENSE, d)), nn.Parameter(torch.randn(N_SPARSE, d))
        self.iterations, self.threshold = iterations, threshold
        self.project_()

    @torch.no_grad()
    def project_(self) -> None:
        for atoms in (self.A, self.B):
            atoms.div_(atoms.norm(dim=1, keepdim=True))

    def path(self, x: Tensor, iterations: int) -> list[tuple[Tensor, Tensor]]:
        """Both codes after 0, 1, ... iterations."""
        z, s = x.new_zeros(len(x), N_DENSE), x.new_zeros(len(x), N_SPARSE)
        codes = [(z, s)]
        for _ in range(iterations):
            rest = x - z @ self.A - s @ self.B
            z, s = z + STEP * rest @ self.A.T, (s + STEP * rest @ self.B.T - self.threshold).relu()
            codes.append((z, s))
        return codes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstruction and the sparse codes."""
        z, s = self.path(x, self.iterations)[-1]
        return z @ self.A + s @ self.B, s


def rows() -> tuple[Tensor, Tensor]:
    """Training and test rows of the toy, standardised as the fixed model's are."""
    source = instantiate(compose("train", ["experiment=toy_densae", "data=toy_crowded"]).data)
    source.setup()
    train, test = (source.batch(split, torch.arange(source.size(split))).x for split in ("train", "test"))
    mean, std = train.mean(0), train.std(0)
    return (train - mean) / std, (test - mean) / std


def train(model: Fixed | DenSaE, x: Tensor, seed: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    g = torch.Generator().manual_seed(seed)
    if isinstance(model, DenSaE):
        model.init_from_(x)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (BATCH,), generator=g)]
        if isinstance(model, DenSaE):
            loss = torch.stack(list(model.losses(model.step(batch)).values())).sum()
        else:
            x_hat, s = model(batch)
            loss = (batch - x_hat).square().mean() + 1e-3 * s.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.project_()
    model.eval()


@torch.no_grad()
def errors(x: Tensor, x_hat: Tensor, s: Tensor) -> dict[str, float]:
    """Mean squared errors per entry: of all rows, of the median row; the worst hundredth's share; codes a row."""
    each = (x - x_hat).double().square().mean(1)
    worst = each.sort(descending=True).values[: len(x) // 100].sum() / each.sum()
    l0 = (s != 0).double().sum(1).mean()
    return {"mse": each.mean().item(), "median": each.median().item(), "worst": worst.item(), "l0": l0.item()}


@torch.no_grad()
def objectives(model: Fixed, x: Tensor) -> dict[str, list[float]]:
    """F after each iteration, mean and largest over rows, by the fixed step and by ours."""
    atoms = torch.cat([model.A, model.B])
    form = Form(Likelihood(), N_DENSE, model.threshold / STEP, 0.0, False)
    problem = Elastic(form, x, x.new_zeros(x.shape[1]), atoms, largest_eigenvalue(atoms)).centred()
    start = x.new_zeros(len(x), len(atoms))
    paths = {
        "fixed step": [torch.cat(codes, 1) for codes in model.path(x, LAST)],
        "steps of 1/L": [problem.minimise(start, i, momentum=True) for i in range(LAST + 1)],
    }
    values = {name: [problem.value(c, c @ atoms) for c in codes] for name, codes in paths.items()}
    means = {name: [v.mean().item() for v in each] for name, each in values.items()}
    return means | {f"{name}, worst row": [v.max().item() for v in each] for name, each in values.items()}


@styled
def drawn(found: dict[str, dict[str, list[float]]]) -> Figure:
    """F over iterations, before and after training."""
    figure = new(3.2)
    colors = {"fixed step": ORANGE, "steps of 1/L": BLUE}
    axes = figure.subplots(1, len(found), sharey=True)
    for ax, (title, curves) in zip(axes, found.items(), strict=True):
        for name, color in colors.items():
            ax.plot(curves[name], color=color)
            ax.plot(curves[f"{name}, worst row"], color=color, linestyle=(0, (2, 2)), linewidth=1)
        ax.set(yscale="log", xlabel="iterations of inference", ylabel="objective F" if ax is axes[0] else "")
        ax.set_title(title, pad=22)
    names_above(axes[0], list(colors.items()))
    note(figure, "line: mean over rows; dashed: worst row; the same dictionaries, learned with the fixed step")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    x, test = rows()
    table = Table("model", "T", "θ", "seed", "MSE", "median row", "worst 1 % of rows", "L0")
    found: list[dict[str, Any]] = []
    curves: dict[str, dict[str, list[float]]] = {}
    for iterations, threshold in CASES:
        for seed in seeds:
            torch.manual_seed(seed)
            fixed = Fixed(x.shape[1], iterations, threshold)
            shown = (iterations, threshold) == SHOWN and seed == 0
            if shown:
                curves["before training"] = objectives(fixed, test)
            train(fixed, x, seed)
            if shown:
                curves["after training"] = objectives(fixed, test)
            torch.manual_seed(seed)
            sizes = {"d_in": x.shape[1], "d_sae": N_SPARSE, "n_dense": N_DENSE, "iterations": iterations}
            ours = DenSaE(**sizes, l1=threshold / STEP, ridge=0.0, normalize="none")
            train(ours, x, seed)
            for name, (x_hat, s) in {"fixed step": fixed(test), "DenSaE": (ours(test), ours.encode(test))}.items():
                facts = {"model": name, "iterations": iterations, "threshold": threshold, "seed": seed}
                found.append(facts | errors(test, x_hat, s))
                e = found[-1]
                cells = (f"{e['mse']:.4g}", f"{e['median']:.4g}", f"{e['worst']:.0%}", f"{e['l0']:.1f}")
                table.add_row(name, str(iterations), str(threshold), str(seed), *cells)
                print(json.dumps(e), flush=True)
    Console(width=100).print(table)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__}
    out = {"machine": machine, "rows": found, "objective": curves}
    (ROOT / "benchmarks/results/densae.json").write_text(json.dumps(out, indent=1) + "\n")
    print(save(drawn(curves), ROOT / "docs/densae.png"))


if __name__ == "__main__":
    main()
